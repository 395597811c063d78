--[[
  Holds a credential back until a time on Redis' clock (only ever later, never sooner), parks it, or unparks it.

  ARGV   credentialId; cooldownUntilMs  '' for none; parked  '1', '0', or '' to leave it
  Reply  until when it is held back, 0 when it is not
  Cost   O(ceilings of the pool)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"

local ceilings = pool.read().ceilings
local cooldowns, shelved = ceilings.cooldowns, ceilings.shelved
local untilMs = tonumber(arg.cooldownUntilMs)
if untilMs and untilMs > (cooldowns[arg.credentialId] or 0) then cooldowns[arg.credentialId] = untilMs end
if arg.parked == '1' then shelved[arg.credentialId] = true end
if arg.parked == '0' then shelved[arg.credentialId] = nil end
for id, heldUntilMs in pairs(cooldowns) do
  if heldUntilMs < nowMs - 3600000 then cooldowns[id] = nil end
end
-- The head that waits may now fit elsewhere, or later: whoever looks next decides anew.
pool.blockedUntil = 0
pool.changed = true
pool.write()
if call('ZCARD', key.lanes) > 0 and call('HEXISTS', key.meta, 'paused') == 0 then call('ZADD', key.marker, 0, '0') end
return cooldowns[arg.credentialId] or 0
