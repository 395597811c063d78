--[[
  A job leaves the hands of a worker, by one of BullMQ's own scripts (completed, failed, delayed, back to wait, waiting
  for children), which runs first and unchanged; then its grant is settled and up to `count` next jobs are handed out.
  All in one step, so that no crash lies between them. Runs also while Redis is out of memory: it frees more than it
  takes.

  KEYS   those of BullMQ's script, then ours as named in fair-scripts.ts
  ARGV   those of BullMQ's script, then ours; usedInput '' without usage; restored '1': the grant was never used
  Reply  { BullMQ's reply, { as dispatch.lua } or nothing }
  Cost   BullMQ's, plus O(log lanes) for each job handed out
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "ceilings"
--- @include "reserve"
--- @include "lanes"
--- @include "leases"
--- @include "grants"
--- @include "intake"
--- @include "hand-out"
--- @wrapped leaveInBullmq

local jobKey = jobKeyPrefix .. leavingJobId
local held = rcall('HMGET', jobKey, 'ticket', 'grant')
local status = leaveInBullmq(KEYS, ARGV)
-- 1 of moveToWaitingChildren: there is nothing to wait for, and the job stays in hand.
if status < 0 or (staysOn ~= '' and status == tonumber(staysOn)) then return { status } end
settleGrant(leavingJobId, held[1], held[2], tonumber(usedInput), tonumber(usedOutput), restored == '1')
if removesJob ~= '1' then rcall('HDEL', jobKey, 'grant') end
if restored == '1' then
  rcall('LREM', waitKey, -1, leavingJobId)
  takeIn(leavingJobId)
end
local reply = { status }
if tonumber(count) > 0 then reply[2] = handOut(tonumber(count)) else wakeIdle() end
writePool()
return reply
