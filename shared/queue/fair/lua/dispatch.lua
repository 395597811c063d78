--[[
  Hands out up to `count` jobs: lane, credential, reservation, lock and activation in one step. A caller that took the
  marker and has no place says 0, and another one is woken.

  KEYS   as named in fair-scripts.ts
  ARGV   as named in fair-scripts.ts
  Reply  { { { fields, job id, grant } ... }, ask again after ms (-1: when told), BullMQ's limiter refuses for ms,
         so much later for this caller, what the next head waits for, whose it is }
  Cost   O(log lanes) per job
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

local count = tonumber(arg.count)
if count == 0 then
  dispatch.wakeIdle()
  return { {}, -1, 0, 0 }
end
local reply = dispatch.handOut(count, true)
pool.write()
return reply
