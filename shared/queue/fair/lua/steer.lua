--[[
  Holds a credential back for a time from now: only ever longer, never shorter, than it was to be held back before.

  ARGV   credentialId; forMs
  Reply  until when it is held back, on Redis' clock
  Cost   O(ceilings of the pool)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "reserve"
--- @include "news"

local cooldowns = pool.read().ceilings.cooldowns
local forMs = tonumber(arg.forMs)
local untilMs = nowMs + forMs
call('HINCRBY', key.pool, 'refusals:' .. arg.credentialId, 1)
for _, credential in ipairs(pool.config.credentials) do
  if credential.id == arg.credentialId then reserve.refused(credential) end
end
if untilMs > (cooldowns[arg.credentialId] or 0) then
  cooldowns[arg.credentialId] = untilMs
  if forMs > 0 then news.tell(arg.credentialId, 'cooled', forMs) end
end
for id, heldUntilMs in pairs(cooldowns) do
  if heldUntilMs < nowMs - 3600000 then cooldowns[id] = nil end
end
-- The head that waits may now fit elsewhere, or later: whoever looks next decides anew.
pool.blockedUntil = 0
pool.changed = true
pool.write()
if call('ZCARD', key.lanes) > 0 and call('HEXISTS', key.meta, 'paused') == 0 then call('ZADD', key.marker, 0, '0') end
return cooldowns[arg.credentialId]
