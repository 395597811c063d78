--[[
  Hands out up to `count` jobs: lane, credential, reservation, lock and activation in one step.

  KEYS   as named in fair-scripts.ts
  ARGV   as named in fair-scripts.ts
  Reply  { { { fields, job id, grant } ... }, ask again after ms (-1: when told), BullMQ's limiter refuses for ms }
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

local reply = dispatch.handOut(tonumber(arg.count))
pool.write()
return reply
