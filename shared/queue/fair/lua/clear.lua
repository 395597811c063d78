--[[
  Empties lanes, up to `jobsMax` jobs per call. Jobs that still wait leave their lane, and are taken in again at the next
  dispatch. Before a clean, so that BullMQ finds them where it put them; after a drain or an obliteration, for the few
  that BullMQ keeps (those of schedulers).

  Reply  1 when something is left
  Cost   O(jobs it takes out)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "entries"
--- @include "lanes"

local budget = tonumber(arg.jobsMax)

local function emptyLane(tenant)
  local members = call('ZRANGE', key.jobsPrefix .. tenant, 0, budget - 1)
  for _, member in ipairs(members) do
    if call('ZADD', key.prioritized, 'XX', 'CH', 0, lanes.nameOf(member)) == 1 then call('ZADD', key.marker, 0, '0') end
    call('ZREM', key.jobsPrefix .. tenant, member)
  end
  budget = budget - #members
  return budget > 0
end

call('HDEL', key.pool, 'blockedUntil')
while budget > 0 do
  local tenant = call('SRANDMEMBER', key.parked)
  if not tenant then break end
  if emptyLane(tenant) then entries.unparkLane(tenant) end
end
while budget > 0 do
  local first = call('ZRANGE', key.lanes, 0, 0, 'WITHSCORES')
  if not first[1] then return 0 end
  if emptyLane(lanes.nameOf(first[1])) then lanes.leave(lanes.nameOf(first[1]), first[1], tonumber(first[2]), false) end
end
return 1
