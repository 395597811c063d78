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
--- @include "lanes"

local budget = tonumber(jobsMax)

local function emptyLane(tenant)
  local members = rcall('ZRANGE', jobsKeyPrefix .. tenant, 0, budget - 1)
  for _, member in ipairs(members) do
    if rcall('ZADD', prioritizedKey, 'XX', 'CH', 0, nameOf(member)) == 1 then rcall('ZADD', markerKey, 0, '0') end
    rcall('ZREM', jobsKeyPrefix .. tenant, member)
  end
  budget = budget - #members
  return budget > 0
end

rcall('HDEL', poolKey, 'blockedUntil')
while budget > 0 do
  local tenant = rcall('SRANDMEMBER', parkedKey)
  if not tenant then break end
  if emptyLane(tenant) then unparkLane(tenant) end
end
while budget > 0 do
  local first = rcall('ZRANGE', lanesKey, 0, 0, 'WITHSCORES')
  if not first[1] then return 0 end
  if emptyLane(nameOf(first[1])) then leaveLanes(nameOf(first[1]), first[1], tonumber(first[2]), false) end
end
return 1
