--[[
  Removes a job wherever it is, by BullMQ's own script, and its place in its lane.

  Reply  BullMQ's
  Cost   BullMQ's, plus O(log jobs of the lane)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "ceilings"
--- @include "reserve"
--- @include "lanes"
--- @include "leases"
--- @include "grants"
--- @wrapped removeInBullmq

local held = rcall('HMGET', jobKeyPrefix .. leavingJobId, 'ticket', 'grant')
local status = removeInBullmq(KEYS, ARGV)
if status == 1 and held[1] then
  local ticket = parseTicket(held[1])
  rcall('ZREM', jobsKeyPrefix .. ticket.tenant, memberOf(ticket.sequence, leavingJobId))
  settleGrant(leavingJobId, held[1], held[2])
  -- The head that everybody waits for may have been this one.
  if tonumber(rcall('HGET', poolKey, 'blockedUntil') or 0) > 0 then
    readPool().blockedUntil = 0
    rcall('ZADD', markerKey, 0, '0')
  end
  writePool()
end
return status
