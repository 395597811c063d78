--[[
  Learns from what a provider said about the limits of a credential: how high they are, and how much of them somebody
  else uses. At most one call per credential, worker and 250 ms.

  ARGV   credentialId; ageMs  since the request was sent; readings  JSON [ [dimension, window ms, limit, used,
         reset ms (-1 unknown, -2 at the full minute), grain of the reset ms, grain of used] ... ]
  Reply  JSON { changes = [ { ceiling, from, to, adopted } ], foreign = [ { ceiling, amount } ] }
  Cost   O(ceilings); for a limit by the wall clock O(slots of its window)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "reserve"
--- @include "adopt"
--- @include "foreign"

local state = pool.read()
pool.ownConfig()
local changes, charged = {}, {}
local scope
for _, credential in ipairs(state.config.credentials) do
  if credential.id == arg.credentialId then scope = credential.scope end
end
if scope then
  local known = adopt.read()
  for _, reading in ipairs(cjson.decode(arg.readings)) do
    local ceiling = adopt.follow(state, scope, reading, known, changes)
    if ceiling then
      known[ceiling.key] = known[ceiling.key] or { limit = reading[3], atMs = nowMs }
      local amount = foreign.charge(state, ceiling, known[ceiling.key], reading, tonumber(arg.ageMs))
      if amount > 0 then charged[#charged + 1] = { ceiling = ceiling.name, amount = amount } end
    end
  end
  call('HSET', key.pool, 'limits', cmsgpack.pack(known))
end
pool.write()
if #changes > 0 and call('ZCARD', key.lanes) > 0 and call('HEXISTS', key.meta, 'paused') == 0 then
  call('ZADD', key.marker, 0, '0')
end
return cjson.encode({ changes = changes, foreign = charged })
