--[[
  Ceilings: how much the provider's own counting still allows, and when it allows the rest.

  A ceiling of a scope is { key, dimension, amount, spanMs, slotMs, msPerUnit, burstMs, clamped } (pool-config.ts); that of
  its slices also has a sliceMs, see slices.lua.
  dimension   1 requests, 2 tokens, 3 input tokens, 4 output tokens, 5 concurrency

  Sliding window. What is admitted is added up in slots of slotMs. A slot leaves the window when its END is spanMs old,
  so nothing leaves early, and in any rolling window of spanMs the admitted amount is at most `amount`. A window is
  { slot, current, sum, head }: the newest slot and its amount, the amount of all slots, and the oldest older slot (0:
  none). Older slots are fields of one hash, `<amount> <next slot>`: a list in order of time. Each slot is written once
  and read once, so an admission costs O(1) amortised and none at all while the newest slot lasts.

  Pacer (GCRA). It admits while its theoretical arrival time is at most burstMs ahead, and then moves it by the cost at
  the ceiling's rate: admissions spread over the window instead of opening it with a burst.
]]
--- @include "slices"

local limits = {
  concurrency = 5,
  -- Bounds of one call; what remains is found by the next.
  expiriesMax = 1000,
  stepsMax = 256,
  -- Older slots live this much longer than they count, at least; only those of a ceiling that is gone ever expire.
  slotsKeptMs = 3600000,
}

function limits.readSlot(ceiling, slot)
  local value = call('HGET', key.slotsPrefix .. ceiling.key, slot)
  if not value then return nil end
  local amount, following = string.match(value, '^(%S+) (%S+)$')
  return tonumber(amount), tonumber(following)
end

function limits.writeSlot(ceiling, slot, amount, following)
  call('HSET', key.slotsPrefix .. ceiling.key, slot, amount .. ' ' .. following)
end

-- The window of a ceiling, without what is too old to count.
function limits.windowOf(ceiling)
  local windows = pool.ceilings.windows
  local window = windows[ceiling.key]
  if not window then
    window = { 0, 0, 0, 0 }
    windows[ceiling.key] = window
    return window
  end
  local slotsKey = key.slotsPrefix .. ceiling.key
  local slot = math.floor(pool.nowMs / ceiling.slotMs)
  if window[3] == 0 then
    if window[4] ~= 0 then call('DEL', slotsKey) end
    window[1], window[2], window[4] = slot, 0, 0
    return window
  end
  local newestEndedSlot = (pool.nowMs - ceiling.spanMs) / ceiling.slotMs - 1
  local oldest = window[4] ~= 0 and window[4] or window[1]
  if window[1] <= slot and oldest > newestEndedSlot then return window end
  -- From here on slots are forgotten: what remains must be written, and the time cannot be earlier again.
  pool.changed = true
  pool.ceilings.seenMs = pool.nowMs
  if window[1] > slot then -- The clock went back: nothing is known about ages, so all of it counts from now on.
    call('DEL', slotsKey)
    window[1], window[2], window[4] = slot, window[3], 0
    return window
  end
  if window[1] <= newestEndedSlot then
    if window[4] ~= 0 then call('DEL', slotsKey) end
    window[2], window[3], window[4] = 0, 0, 0
    return window
  end
  local expiries = 0
  while window[4] ~= 0 and window[4] <= newestEndedSlot and expiries < limits.expiriesMax do
    local amount, following = limits.readSlot(ceiling, window[4])
    if not amount then -- Somebody deleted the key: only the newest slot is known.
      window[3], window[4] = window[2], 0
      break
    end
    call('HDEL', slotsKey, window[4])
    window[3] = window[3] - amount
    window[4] = following ~= window[1] and following or 0
    expiries = expiries + 1
  end
  return window
end

-- When `cost` fits into the window, if nothing else is admitted until then; for a window of very many slots possibly
-- an earlier time, at which to look again.
function limits.windowFitsAt(ceiling, window, cost)
  local excess = window[3] + cost - ceiling.amount
  if excess <= 0 then return pool.nowMs end
  local slot = window[4] ~= 0 and window[4] or window[1]
  for _ = 1, limits.stepsMax do
    if slot == window[1] then break end
    local amount, following = limits.readSlot(ceiling, slot)
    if not amount then break end
    excess = excess - amount
    if excess <= 0 then break end
    slot = following
  end
  return (slot + 1) * ceiling.slotMs + ceiling.spanMs
end

-- When the ceiling admits `cost`, and the share of the ceiling that is left after it.
function limits.fitsAt(scope, ceiling, cost)
  local dimension, amount = ceiling.dimension, ceiling.amount
  if dimension == limits.concurrency then
    local free = amount - pool.running(scope) - cost
    if free >= 0 then return pool.nowMs, free / amount end
    return math.huge, 0
  end
  -- A slice shorter than one request cannot hold it; it then admits one at a time.
  if ceiling.clamped and cost > amount then cost = amount end
  local window = limits.windowOf(ceiling)
  local at = limits.windowFitsAt(ceiling, window, cost)
  local pacer = pool.ceilings.pacers[ceiling.key]
  if pacer and ceiling.burstMs >= 0 then at = math.max(at, math.ceil(pacer - ceiling.burstMs)) end
  return at, (amount - window[3] - cost) / amount
end

-- Adds `cost` to the window and the pacer of a ceiling, as of now; how long its slice still lasts, where it has slices.
function limits.charge(ceiling, cost)
  if cost <= 0 then return nil end
  local window = limits.windowOf(ceiling)
  local slot = math.floor(pool.nowMs / ceiling.slotMs)
  if slot ~= window[1] then
    if window[2] ~= 0 or window[4] ~= 0 then
      limits.writeSlot(ceiling, window[1], window[2], slot)
      call('PEXPIRE', key.slotsPrefix .. ceiling.key, 2 * ceiling.spanMs + limits.slotsKeptMs)
      if window[4] == 0 then window[4] = window[1] end
    end
    window[1], window[2] = slot, 0
  end
  window[2], window[3] = window[2] + cost, window[3] + cost
  if ceiling.burstMs >= 0 then
    local pacers = pool.ceilings.pacers
    pacers[ceiling.key] = math.max(pacers[ceiling.key] or 0, pool.nowMs) + cost * ceiling.msPerUnit
  end
  return ceiling.sliceMs and slices.charge(ceiling, cost)
end

-- Takes `cost` that was charged at `chargedMs` out again, as far as it still counts.
function limits.refund(ceiling, cost, chargedMs)
  if cost <= 0 then return end
  local window = limits.windowOf(ceiling)
  local slot = math.floor(chargedMs / ceiling.slotMs)
  if ceiling.sliceMs then slices.refund(ceiling, cost, chargedMs) end
  local pacers = pool.ceilings.pacers
  if pacers[ceiling.key] then pacers[ceiling.key] = pacers[ceiling.key] - cost * ceiling.msPerUnit end
  if slot == window[1] then
    local refund = math.min(cost, window[2])
    window[2], window[3] = window[2] - refund, window[3] - refund
  elseif window[4] ~= 0 and slot >= window[4] then
    local amount, following = limits.readSlot(ceiling, slot)
    if not amount then return end
    local refund = math.min(cost, amount)
    limits.writeSlot(ceiling, slot, amount - refund, following)
    window[3] = window[3] - refund
  end
end
