--[[
  Publishes how a pool is run: its configuration, and settings of the named tenants. Takes effect at the next dispatch;
  what waits, what is admitted and what is in hand stay as they are.

  ARGV   configuration  JSON as pool-config.ts compiles it, '' to leave it; tenants  JSON { tenant: 'weight cap paused' };
         fingerprint  of both; publisher  who says so: saying again what was said last changes nothing; '' for nobody
  Reply  { 1 when it said anything new, number of the publication, publisher of the one before or - }
  Cost   O(tenants named); the state of a ceiling that is gone is dropped by a publication after it has stopped to count
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "entries"
--- @include "lanes"
--- @include "adopt"
--- @include "reserve"
--- @include "renew"

local revision, lastFingerprint, lastPublisher =
  string.match(call('HGET', key.pool, 'published') or '0 - -', '^(%d+) (%S+) (%S+)$')
if arg.publisher ~= '' then
  if lastFingerprint == arg.fingerprint then return { 0, tonumber(revision), lastPublisher } end
  revision = revision + 1
  call('HSET', key.pool, 'published', string.format('%d %s %s', revision, arg.fingerprint, arg.publisher))
end

for tenant, settings in pairs(cjson.decode(arg.tenants)) do
  call('HSET', key.tenants, tenant, settings)
  if call('HEXISTS', key.lanePrefix .. tenant, 'parked') == 1 then entries.unparkLane(tenant) end
end
if arg.configuration ~= '' then
  local config = cjson.decode(arg.configuration)
  local before = pool.read()
  renewCredentials(before, config)
  -- A ceiling that is gone may come back: until all it admitted is too old to count, its window is kept.
  local countsUntilMs, gone, learned = {}, before.ceilings.gone or {}, adopt.read()
  for _, scope in pairs(before.config.scopes) do
    for _, ceiling in ipairs(scope) do countsUntilMs[ceiling.key] = nowMs + ceiling.spanMs + ceiling.slotMs end
  end
  adopt.keep(config, learned)
  for _, rowsByScope in ipairs({ config.scopes, config.unknown }) do
    for _, scope in pairs(rowsByScope) do
      for _, ceiling in ipairs(scope) do countsUntilMs[ceiling.key], gone[ceiling.key] = math.huge, nil end
    end
  end
  for name in pairs(learned) do
    if countsUntilMs[name] ~= math.huge then learned[name] = nil end
  end
  for name in pairs(before.ceilings.windows) do
    local untilMs = countsUntilMs[name] or gone[name] or 0
    if untilMs <= nowMs then
      before.ceilings.windows[name], before.ceilings.pacers[name], gone[name] = nil, nil, nil
      if before.ceilings.slices then before.ceilings.slices[name] = nil end
      call('DEL', key.slotsPrefix .. name)
    elseif untilMs < math.huge then
      gone[name] = untilMs
    end
  end
  before.ceilings.gone = gone
  pool.changed = true
  call('HSET', key.pool, 'config', cmsgpack.pack(config), 'limits', cmsgpack.pack(learned))
end
pool.read().blockedUntil = 0
pool.write()
if call('HEXISTS', key.meta, 'paused') == 0 then call('ZADD', key.marker, 0, '0') end
return { 1, tonumber(revision), lastPublisher }
