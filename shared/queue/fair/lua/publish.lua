--[[
  Publishes how a pool is run: its configuration, and settings of the named tenants. Takes effect at the next dispatch;
  what waits, what is admitted and what is in hand stay as they are.

  ARGV   configuration  JSON as pool-config.ts compiles it, '' to leave it; tenants  JSON { tenant: 'weight cap paused' }
  Reply  1
  Cost   O(tenants named); the state of ceilings that are gone is dropped
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "lanes"

for tenant, settings in pairs(cjson.decode(tenants)) do
  rcall('HSET', tenantsKey, tenant, settings)
  if rcall('HEXISTS', laneKeyPrefix .. tenant, 'parked') == 1 then unparkLane(tenant) end
end
if configuration ~= '' then
  local config = cjson.decode(configuration)
  local before = readPool()
  local kept = {}
  for _, scope in pairs(config.scopes) do
    for _, ceiling in ipairs(scope) do kept[ceiling.key] = true end
  end
  for key in pairs(before.ceilings.windows) do
    if not kept[key] then
      before.ceilings.windows[key], before.ceilings.pacers[key] = nil, nil
      rcall('DEL', slotsKeyPrefix .. key)
    end
  end
  pool.changed = true
  rcall('HSET', poolKey, 'config', cmsgpack.pack(config))
end
readPool().blockedUntil = 0
writePool()
if rcall('HEXISTS', metaKey, 'paused') == 0 then rcall('ZADD', markerKey, 0, '0') end
return 1
