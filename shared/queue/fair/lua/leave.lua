--[[
  A job leaves the hands of a worker, by one of BullMQ's own scripts (completed, failed, delayed, back to wait, waiting
  for children), which runs first and unchanged; then its grant is settled and up to `count` next jobs are handed out.
  All in one step, so that no crash lies between them. Runs also while Redis is out of memory: it frees more than it
  takes.

  A job of which nothing is to be kept, without parent, children or deduplication, and of which nobody reads events, is
  what almost every job is: it leaves by the few of BullMQ's steps that concern it (`plainFinish` 1, finish only).

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
--- @include "bullmq:removeLock"
--- @include "bullmq:removeJobKeys"
--- @wrapped leaveInBullmq

local jobId = arg.leavingJobId
local jobKey = key.jobPrefix .. jobId
local held = rcall('HMGET', jobKey, 'ticket', 'grant', 'data', 'parentKey', 'deid')

-- As moveToFinished, with its replies; nil when the job is not that plain.
local function finishPlainly()
  if arg.plainFinish ~= '1' or not held[3] or held[4] or held[5] then return nil end
  if rcall('EXISTS', jobKey .. ':dependencies', jobKey .. ':unsuccessful') > 0 then return nil end
  local refusal = removeLock(jobKey, key.stalled, arg.tokenHeld, jobId)
  if refusal < 0 then return refusal end
  if rcall('LREM', key.active, -1, jobId) < 1 then return -3 end
  removeJobKeys(jobKey)
  return 0
end

local status = finishPlainly() or leaveInBullmq(KEYS, ARGV)
-- 1 of moveToWaitingChildren: there is nothing to wait for, and the job stays in hand.
if status < 0 or (arg.staysOn ~= '' and status == tonumber(arg.staysOn)) then return { status } end
local freed = grants.settle(jobId, held[1], held[2], tonumber(arg.usedInput), tonumber(arg.usedOutput),
  arg.restored == '1')
if arg.removesJob ~= '1' then rcall('HDEL', jobKey, 'grant') end
if arg.restored == '1' then
  rcall('LREM', key.wait, -1, jobId)
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
