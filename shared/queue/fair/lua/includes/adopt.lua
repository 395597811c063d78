--[[
  Limits that the provider named: what the configuration says of a ceiling is scaled to them where it is `auto`, and a
  ceiling of which nothing was known (`unknown`) comes into force. The published row keeps its own numbers, so however
  often the limit changes, nothing is rounded twice.

  field of key.pool  limits   { ceiling key = { limit, atMs, and what observe.lua knows of its shape } }
]]
local adopt = {
  -- A limit that goes up again so soon after it changed waits: two limits behind one name must not take turns.
  settledMs = 10000,
}

function adopt.read()
  local packed = call('HGET', key.pool, 'limits')
  return packed and cmsgpack.unpack(packed) or {}
end

-- The ceiling of a scope with this dimension and window, and the one of its slices.
function adopt.find(rows, dimension, windowMs)
  local whole, slice
  for _, row in ipairs(rows or {}) do
    if row.dimension == dimension and row.windowMs == windowMs then
      if row.clamped then slice = row else whole = row end
    end
  end
  return whole, slice
end

function adopt.scale(row, limit)
  local own = row.own or { row.limit, row.amount, row.msPerUnit }
  row.own, row.limit = own, limit
  row.amount = math.max(1, math.floor(own[2] * limit / own[1] + 0.000001))
  row.msPerUnit = own[3] * own[2] / row.amount
end

-- Puts a limit in force for a ceiling of a scope that may follow the provider; false when it may not.
function adopt.apply(config, scope, dimension, windowMs, limit)
  local rows = config.scopes[scope]
  if not adopt.find(rows, dimension, windowMs) then
    local unknown = config.unknown[scope] or {}
    for at = #unknown, 1, -1 do
      if unknown[at].dimension == dimension and unknown[at].windowMs == windowMs then
        rows[#rows + 1] = table.remove(unknown, at)
      end
    end
  end
  local whole, slice = adopt.find(rows, dimension, windowMs)
  if not whole or not whole.auto then return false end
  adopt.scale(whole, limit)
  if slice then adopt.scale(slice, limit) end
  return true
end

-- What was learned before holds on for a configuration that is published anew.
function adopt.keep(config, limits)
  for _, rowsByScope in ipairs({ config.scopes, config.unknown }) do
    for scope, rows in pairs(rowsByScope) do
      for _, row in ipairs({ unpack(rows) }) do
        local known = limits[row.key]
        if known and row.auto then adopt.apply(config, scope, row.dimension, row.windowMs, known.limit) end
      end
    end
  end
end

-- Follows the limit of a reading where that is allowed; the ceiling in force, nil when its limit is another one.
function adopt.follow(state, scope, reading, learned, changes)
  local dimension, windowMs, limit = reading[1], reading[2], reading[3]
  local whole, slice = adopt.find(state.config.scopes[scope], dimension, windowMs)
  local unknown = adopt.find(state.config.unknown[scope], dimension, windowMs)
  local row = whole or unknown
  if not row or (slice and slice.amount == limit) then return nil end
  local known = learned[row.key]
  local from = known and known.limit or (whole and whole.limit or 0)
  if from == limit and not unknown then return whole end
  if known and limit > from and nowMs - known.atMs < adopt.settledMs then return nil end
  known = known or {}
  known.limit, known.atMs = limit, nowMs
  learned[row.key] = known
  local adopted = adopt.apply(state.config, scope, dimension, windowMs, limit)
  changes[#changes + 1] = { ceiling = row.name, from = from, to = limit, adopted = adopted }
  if not adopted then return nil end
  call('HSET', key.pool, 'config', cmsgpack.pack(state.config))
  state.blockedUntil = 0
  return (adopt.find(state.config.scopes[scope], dimension, windowMs))
end
