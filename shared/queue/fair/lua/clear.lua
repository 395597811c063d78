--[[
  Follows a drain, clean or obliteration of the queue: forgets up to `lanesMax` lanes. Jobs that are still waiting (BullMQ
  keeps those of schedulers) leave their lane and are taken in again at the next dispatch.

  Reply  lanes that are left
  Cost   O(jobs of the lanes it forgets)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "lanes"

local found = rcall('ZRANGE', lanesKey, 0, tonumber(lanesMax) - 1, 'WITHSCORES')
for index = 1, #found, 2 do
  local tenant = nameOf(found[index])
  for _, member in ipairs(rcall('ZRANGE', jobsKeyPrefix .. tenant, 0, -1)) do
    if rcall('ZSCORE', prioritizedKey, nameOf(member)) then
      rcall('ZADD', prioritizedKey, 0, nameOf(member))
      rcall('ZADD', markerKey, 0, '0')
    end
  end
  rcall('DEL', jobsKeyPrefix .. tenant)
  leaveLanes(tenant, found[index], tonumber(found[index + 1]), false)
end
rcall('HDEL', poolKey, 'blockedUntil')
return rcall('ZCARD', lanesKey)
