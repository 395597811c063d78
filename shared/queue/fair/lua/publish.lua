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
--- @include "entries"
--- @include "lanes"
--- @include "adopt"

for tenant, settings in pairs(cjson.decode(arg.tenants)) do
  call('HSET', key.tenants, tenant, settings)
  if call('HEXISTS', key.lanePrefix .. tenant, 'parked') == 1 then entries.unparkLane(tenant) end
end
if arg.configuration ~= '' then
  local config = cjson.decode(arg.configuration)
  local before = pool.read()
  local kept = {}
  local learned = adopt.read()
  adopt.keep(config, learned)
  for _, rowsByScope in ipairs({ config.scopes, config.unknown }) do
    for _, scope in pairs(rowsByScope) do
      for _, ceiling in ipairs(scope) do kept[ceiling.key] = true end
    end
  end
  for name in pairs(learned) do
    if not kept[name] then learned[name] = nil end
  end
  for name in pairs(before.ceilings.windows) do
    if not kept[name] then
      before.ceilings.windows[name], before.ceilings.pacers[name] = nil, nil
      call('DEL', key.slotsPrefix .. name)
    end
  end
  pool.changed = true
  call('HSET', key.pool, 'config', cmsgpack.pack(config), 'limits', cmsgpack.pack(learned))
end
pool.read().blockedUntil = 0
pool.write()
if call('HEXISTS', key.meta, 'paused') == 0 then call('ZADD', key.marker, 0, '0') end
return 1
