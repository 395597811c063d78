--[[
  The pool: how it is configured, and how far its ceilings are used. Both are single msgpack values of one hash, so a
  script reads everything about a pool with one command, however many ceilings there are, and writes it with one.

  fields of key.pool  config           written by publish.lua, see pool-config.ts for its shape
                      limits           what the provider said of them, see adopt.lua
                      health           which credentials work, see health.lua
                      ceilings         how far they are used, see ceilings.lua and reserve.lua
                      published        number, fingerprint and publisher of the last publication
                      virtualTime      the counter of the lane that was served last, as it was before its charge
                      blockedUntil     until then no head fits its ceilings; 0 when unknown
                      told             how many more callers have been told of it, see hand-out.lua
                      running:<scope>  jobs in hand on the credentials of a scope
                      refusals:<id>    how often a credential was held back for its quota
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

-- What the texts of a pool say, as it was unpacked or packed last, by queue: as long as the text is the same it need not
-- be unpacked again, which takes longer than all commands of a dispatch. Nothing but a shortcut: what holds is the text.
local memories, memoriesMax, memoriesHeld = {}, 100, 0

local function memoryOf(queue)
  local memory = memories[queue]
  if memory then return memory end
  if memoriesHeld >= memoriesMax then memories, memoriesHeld = {}, 0 end
  memory = {}
  memories[queue], memoriesHeld = memory, memoriesHeld + 1
  return memory
end

local function readConfig(memory, text)
  if not text then return unlimited() end
  if memory.configText ~= text then memory.configText, memory.config = text, cmsgpack.unpack(text) end
  return memory.config
end

-- The ceilings are changed in place, so what is remembered of them is no longer true until pool.write.
local function readCeilings(memory, text)
  local ceilings = memory.ceilingsText == text and memory.ceilings or cmsgpack.unpack(text)
  memory.ceilingsText, memory.ceilings = nil, nil
  return ceilings
end

function pool.read()
  if pool.loaded then return pool end
  local memory = memoryOf(key.pool)
  local fields = call('HMGET', key.pool, 'config', 'ceilings', 'virtualTime', 'blockedUntil', 'health')
  pool.loaded, pool.changed, pool.nowMs = true, false, nowMs
  pool.config = readConfig(memory, fields[1])
  pool.virtualTime, pool.blockedUntil = tonumber(fields[3] or 0), tonumber(fields[4] or 0)
  pool.storedVirtualTime, pool.storedBlockedUntil = pool.virtualTime, pool.blockedUntil
  pool.health, pool.healthChanged = fields[5] and cmsgpack.unpack(fields[5]) or {}, false
  pool.limited = #pool.config.credentials > 0
  if fields[2] then
    pool.ceilings = readCeilings(memory, fields[2])
    if nowMs < pool.ceilings.seenMs - heldClockMs then
      followClockBack()
    else
      pool.nowMs = math.max(nowMs, pool.ceilings.seenMs)
    end
  else
    pool.ceilings = { seenMs = 0, windows = {}, pacers = {}, cooldowns = {}, used = {}, uses = 0 }
  end
  return pool
end

function pool.write()
  if not pool.loaded then return end
  if pool.healthChanged then
    if next(pool.health) then
      call('HSET', key.pool, 'health', cmsgpack.pack(pool.health))
    else
      call('HDEL', key.pool, 'health')
    end
  end
  if pool.blockedUntil ~= pool.storedBlockedUntil then call('HDEL', key.pool, 'told') end
  if pool.changed then
    local text = cmsgpack.pack(pool.ceilings)
    call('HSET', key.pool, 'virtualTime', pool.virtualTime, 'blockedUntil',
      pool.blockedUntil == 0 and '0' or pool.blockedUntil, 'ceilings', text)
    local memory = memoryOf(key.pool)
    memory.ceilingsText, memory.ceilings = text, pool.ceilings
  elseif pool.virtualTime ~= pool.storedVirtualTime or pool.blockedUntil ~= pool.storedBlockedUntil then
    call('HSET', key.pool, 'virtualTime', pool.virtualTime, 'blockedUntil', pool.blockedUntil)
  end
end

-- The configuration as a copy of this call's own, for whoever changes it.
function pool.ownConfig()
  pool.read().config = cmsgpack.unpack(cmsgpack.pack(pool.config))
  return pool.config
end

-- What waits for its ceilings may fit earlier than was thought. True when somebody waits.
function pool.unblock()
  local blockedUntil = pool.loaded and pool.blockedUntil or tonumber(call('HGET', key.pool, 'blockedUntil') or 0)
  if blockedUntil == 0 then return false end
  if pool.loaded then pool.blockedUntil = 0 else call('HSET', key.pool, 'blockedUntil', '0') end
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
