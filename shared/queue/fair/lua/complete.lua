--[[
  Completes a job of which nothing is kept: with few of the
  steps that BullMQ's moveToFinished takes, because the job has no parent, no children and no deduplication, and nobody
  reads its events. Any other job is left as it is, and leave.lua is to be called. Runs also while Redis is out of memory.

  KEYS   as named in fair-scripts.ts
  ARGV   as named in fair-scripts.ts
  Reply  0; 1 when the job is not that plain; below zero as BullMQ's moveToFinished
  Cost   O(log lanes)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "reserve"
--- @include "entries"
--- @include "lanes"
--- @include "leases"
--- @include "grants"
--- @include "finish-plainly"

local status, grant = finishPlainly(arg.leavingJobId)
if status ~= 0 then return status end
local freed = grants.settle(arg.leavingJobId, grant, tonumber(arg.usedInput), tonumber(arg.usedOutput),
  arg.unused, false)
if freed and call('HEXISTS', key.meta, 'paused') == 0 then call('ZADD', key.marker, '0', '0') end
pool.write()
return 0
