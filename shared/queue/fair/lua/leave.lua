--[[
  A job leaves the hands of a worker, by one of BullMQ's own scripts (completed, failed, delayed, back to wait, waiting
  for children), which runs first and unchanged; then its grant is settled and up to `count` next jobs are handed out.
  All in one step, so that no crash lies between them. Runs also while Redis is out of memory: it frees more than it
  takes.

  KEYS   those of BullMQ's script, then ours as named in fair-scripts.ts
  ARGV   those of BullMQ's script, then ours; usedInput '' without usage; unused as in grants.lua, '' when unknown
  Reply  { BullMQ's reply, { as dispatch.lua } or nothing }
  Cost   BullMQ's, plus O(log lanes) for each job handed out
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "reserve"
--- @include "entries"
--- @include "lanes"
--- @include "leases"
--- @include "grants"
--- @include "intake"
--- @include "hand-out"
--- @wrapped leaveInBullmq

local jobId = arg.leavingJobId
local jobKey = key.jobPrefix .. jobId
local grant = call('HGET', jobKey, 'grant')
local status = leaveInBullmq(KEYS, ARGV)
-- 1 of moveToWaitingChildren: there is nothing to wait for, and the job stays in hand.
if status < 0 or (arg.staysOn ~= '' and status == tonumber(arg.staysOn)) then return { status } end
local freed = grants.settle(jobId, grant, tonumber(arg.usedInput), tonumber(arg.usedOutput),
  arg.unused, arg.removesJob ~= '1')
call('HDEL', jobKey, 'grant')
-- What was never sent takes its old place at once, unless it is to come later; anything else when somebody looks next.
if arg.unused == 'all' and arg.removesJob ~= '1' and not call('ZSCORE', key.delayed, jobId) then
  call('LREM', key.wait, -1, jobId)
  intake.take(jobId)
  freed = true
end
local reply = { status }
if tonumber(arg.count) > 0 then
  reply[2] = dispatch.handOut(tonumber(arg.count))
elseif freed or arg.removesJob ~= '1' then
  dispatch.wakeIdle()
end
pool.write()
return reply
