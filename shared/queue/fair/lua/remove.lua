--[[
  Removes a job wherever it is, by BullMQ's own script, and its place in its lane.

  Reply  BullMQ's
  Cost   BullMQ's, plus O(log jobs of the lane)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "reserve"
--- @include "entries"
--- @include "lanes"
--- @include "leases"
--- @include "grants"
--- @wrapped removeInBullmq

local held = call('HMGET', key.jobPrefix .. arg.leavingJobId, 'ticket', 'grant')
local status = removeInBullmq(KEYS, ARGV)
if status == 1 and held[1] then
  local ticket = lanes.parseTicket(held[1])
  call('ZREM', key.jobsPrefix .. ticket.tenant, entries.memberOf(ticket.sequence, arg.leavingJobId))
  grants.settle(arg.leavingJobId, held[2], nil, nil, '', false)
  -- The head that everybody waits for may have been this one.
  if pool.unblock() then call('ZADD', key.marker, 0, '0') end
  pool.write()
end
return status
