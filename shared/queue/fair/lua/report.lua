--[[
  How a call ended, as far as it tells whether its credential and its provider work. Who sent it is told everything that
  changed by it; everybody else hears it on the channel key.news.

  ARGV   credentialId; jobId; ending  'served', 'failed', 'billing', 'ramp' (we grew too fast) or 'nothing';
         atLeastMs  how long the provider asked to be left alone, 0 when it did not
  Reply  JSON { changes = [ { credential, state, forMs } ], others }, others: credentials that money does not stop
  Cost   O(credentials)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "reserve"
--- @include "news"

local config = pool.read().config
local name, jobId, ending = arg.credentialId, arg.jobId, arg.ending
local changes = {}
local function changed(credential, state, forMs)
  changes[#changes + 1] = { credential = credential, state = state, forMs = forMs }
  news.tell(credential, state, forMs)
end

local gates = #config.credentials > 1 and { name, health.whole } or { name }
for _, gate in ipairs(gates) do
  if ending == 'served' and health.served(gate, jobId) then changed(gate, 'closed', 0) end
  if ending == 'failed' and health.failed(gate, jobId, tonumber(arg.atLeastMs)) then
    changed(gate, 'open', health.opensAt(gate) - nowMs)
  end
end
if ending == 'billing' then
  local before = pool.health[name]
  local known = before and before.why == 'billing' and before.probe ~= jobId
  if not known then
    health.open(name, config.breaker.billingMs, 'billing')
    changed(name, 'billing', config.breaker.billingMs)
  end
elseif ending == 'ramp' then
  health.ramp(name, 1 / (1 + config.breaker.growth), config.breaker.growthMs)
  changed(name, 'ramp', config.breaker.growthMs)
end
if ending ~= 'served' and ending ~= 'failed' then health.release(name, jobId) end

local others = 0
for _, credential in ipairs(config.credentials) do
  local gate = pool.health[credential.id]
  if credential.id ~= name and not (gate and gate.why == 'billing') then others = others + 1 end
end
-- The head that waits may now fit, or no longer: whoever looks next decides anew.
pool.blockedUntil = 0
pool.write()
if call('ZCARD', key.lanes) > 0 and call('HEXISTS', key.meta, 'paused') == 0 then call('ZADD', key.marker, 0, '0') end
return cjson.encode({ changes = changes, others = others })
