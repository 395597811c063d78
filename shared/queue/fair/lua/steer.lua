--[[
  Holds a credential back until a time on Redis' clock (only ever later, never sooner), parks it, or unparks it.

  ARGV   credentialId; cooldownUntilMs  '' for none; parked  '1', '0', or '' to leave it
  Reply  until when it is held back, 0 when it is not
  Cost   O(ceilings of the pool)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"

local cooldowns, shelved = readPool().ceilings.cooldowns, readPool().ceilings.shelved
local untilMs = tonumber(cooldownUntilMs)
if untilMs and untilMs > (cooldowns[credentialId] or 0) then cooldowns[credentialId] = untilMs end
if parked == '1' then shelved[credentialId] = true end
if parked == '0' then shelved[credentialId] = nil end
for id, heldUntilMs in pairs(cooldowns) do
  if heldUntilMs <= nowMs then cooldowns[id] = nil end
end
-- The head that waits may now fit elsewhere, or later: whoever looks next decides anew.
pool.blockedUntil = 0
pool.changed = true
writePool()
if rcall('ZCARD', lanesKey) > 0 and rcall('HEXISTS', metaKey, 'paused') == 0 then rcall('ZADD', markerKey, 0, '0') end
return cooldowns[credentialId] or 0
