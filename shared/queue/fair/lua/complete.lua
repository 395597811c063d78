--[[
  Completes jobs of which nothing is kept, and hands out up to `count` next ones: with few of the steps that BullMQ's
  moveToFinished takes, because such a job has no parent, no children and no deduplication, and nobody reads its events.
  Any other job is left as it is, and leave.lua is to be called. Runs also while Redis is out of memory.

  KEYS   as named in fair-scripts.ts
  ARGV   as named in fair-scripts.ts; then of each job: id, token that holds it, usedInput ('' without usage),
         usedOutput, unused (see grants.lua)
  Reply  { status of each job, { as dispatch.lua } or nothing }: 0; 1 when the job is not that plain; below zero as
         BullMQ's moveToFinished
  Cost   O(log lanes) for each job completed or handed out
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
--- @include "finish-plainly"

local count = tonumber(arg.count)
if count > 0 then pool.read() end
local statuses, freed = {}, false
for at = restFrom, #ARGV, 5 do
  local jobId, tokenHeld, usedInput, usedOutput, unused = unpack(ARGV, at, at + 4)
  local status, grant = finishPlainly(jobId, tokenHeld)
  if status ~= 0 then
    count = count - 1
  elseif grants.settle(jobId, grant, tonumber(usedInput), tonumber(usedOutput), unused, false) then
    freed = true
  end
  statuses[#statuses + 1] = status
end
local reply = { statuses }
if count > 0 then
  reply[2] = dispatch.handOut(count)
elseif freed then
  dispatch.wakeIdle()
end
pool.write()
return reply
