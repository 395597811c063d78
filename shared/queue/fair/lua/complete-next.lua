--[[
  Completes a job of which nothing is kept, and hands out up to `count` next ones: with few of the
  steps that BullMQ's moveToFinished takes, because the job has no parent, no children and no deduplication, and nobody
  reads its events. Any other job is left as it is, and leave.lua is to be called. Runs also while Redis is out of memory.

  KEYS   as named in fair-scripts.ts
  ARGV   as named in fair-scripts.ts
  Reply  { 0, { as dispatch.lua } }; { status }: 1 when the job is not that plain; below zero as BullMQ's moveToFinished
  Cost   O(log lanes) for each job handed out
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

pool.read()
local status, grant = finishPlainly(arg.leavingJobId)
if status ~= 0 then return { status } end
grants.settle(arg.leavingJobId, grant, tonumber(arg.usedInput), tonumber(arg.usedOutput),
  arg.unused, false)
local reply = dispatch.handOut(tonumber(arg.count))
pool.write()
return { 0, reply }
