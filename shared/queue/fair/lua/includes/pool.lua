--[[
  The pool: how it is configured, and how far its ceilings are used. Both are single msgpack values of one hash, so a
  script reads everything about a pool with one command, however many ceilings there are, and writes it with one.

  fields of key.pool  config           written by publish.lua, see pool-config.ts for its shape
                      limits           what the provider said of them, see adopt.lua
                      ceilings         how far they are used, see ceilings.lua and reserve.lua
                      published        number, fingerprint and publisher of the last publication
                      virtualTime      the counter of the lane that was served last, as it was before its charge
                      blockedUntil     until then no head fits its ceilings; 0 when unknown
                      running:<scope>  jobs in hand on the credentials of a scope
]]
local pool = {}
-- A clock that steps back this far or less is waited for; the windows stand still meanwhile.
local heldClockMs = 1000

local function unlimited()
  return {
    inputWeight = 1, outputWeight = 4, accounting = 'input_plus_max', burndown = 1,
    leaseMs = 3600000, laneIdleMs = 3600000, deadlineLeadMs = 300000, tenantConcurrency = 0,
    credentials = {}, scopes = {}, unknown = {},
  }
end

-- After a larger step back the pacers start anew, and each window counts all it holds as admitted now (ceilings.lua).
local function followClockBack()
  pool.ceilings.pacers = {}
  pool.ceilings.seenMs = nowMs
  pool.blockedUntil = 0
  pool.changed = true
end

function pool.read()
  if pool.loaded then return pool end
  local fields = call('HMGET', key.pool, 'config', 'ceilings', 'virtualTime', 'blockedUntil')
  pool.loaded, pool.changed, pool.nowMs = true, false, nowMs
  pool.config = fields[1] and cmsgpack.unpack(fields[1]) or unlimited()
  pool.virtualTime, pool.blockedUntil = tonumber(fields[3] or 0), tonumber(fields[4] or 0)
  pool.storedVirtualTime, pool.storedBlockedUntil = pool.virtualTime, pool.blockedUntil
  pool.limited = #pool.config.credentials > 0
  if fields[2] then
    pool.ceilings = cmsgpack.unpack(fields[2])
    if nowMs < pool.ceilings.seenMs - heldClockMs then
      followClockBack()
    else
      pool.nowMs = math.max(nowMs, pool.ceilings.seenMs)
    end
  else
    pool.ceilings = { seenMs = 0, windows = {}, pacers = {}, cooldowns = {}, shelved = {}, used = {}, uses = 0 }
  end
  return pool
end

function pool.write()
  if not pool.loaded then return end
  if pool.changed then
    call('HSET', key.pool, 'virtualTime', pool.virtualTime, 'blockedUntil', pool.blockedUntil,
      'ceilings', cmsgpack.pack(pool.ceilings))
  elseif pool.virtualTime ~= pool.storedVirtualTime or pool.blockedUntil ~= pool.storedBlockedUntil then
    call('HSET', key.pool, 'virtualTime', pool.virtualTime, 'blockedUntil', pool.blockedUntil)
  end
end

-- What waits for its ceilings may fit earlier than was thought. True when somebody waits.
function pool.unblock()
  local blockedUntil = pool.loaded and pool.blockedUntil or tonumber(call('HGET', key.pool, 'blockedUntil') or 0)
  if blockedUntil == 0 then return false end
  if pool.loaded then pool.blockedUntil = 0 else call('HSET', key.pool, 'blockedUntil', 0) end
  return true
end

-- Jobs in hand on the credentials of a scope; read once per script, and only where it is limited.
function pool.running(scope)
  pool.runningByScope = pool.runningByScope or {}
  local known = pool.runningByScope[scope]
  if not known then
    known = tonumber(call('HGET', key.pool, 'running:' .. scope) or 0)
    pool.runningByScope[scope] = known
  end
  return known
end

function pool.addRunning(scope, delta)
  local running = call('HINCRBY', key.pool, 'running:' .. scope, delta)
  if running < 0 then
    call('HDEL', key.pool, 'running:' .. scope)
    running = 0
  end
  if pool.runningByScope then pool.runningByScope[scope] = running end
end

-- What is known of the pool belongs to one call.
local functions = { __index = pool }
--- @each call
pool = setmetatable({}, functions)
