--[[
  The pool: how it is configured, and how far its ceilings are used. Both are single msgpack values of one hash, so a
  script reads everything about a pool with one command, however many ceilings there are, and writes it with one.

  fields of poolKey   config        written by publish.lua, see pool-config.ts for its shape
                      ceilings      how far they are used, see ceilings.lua and reserve.lua
                      virtualTime   the counter of the lane that was served last, as it was before its charge
                      blockedUntil  until then no head fits its ceilings; 0 when unknown
]]
local unlimited = {
  inputWeight = 1, outputWeight = 4, accounting = 'input_plus_max', burndown = 1,
  leaseMs = 3600000, laneIdleMs = 3600000, deadlineLeadMs = 300000, tenantConcurrency = 0,
  credentials = {}, scopes = {},
}
-- A clock that steps back this far or less is waited for; the windows stand still meanwhile.
local heldClockMs = 1000

local pool

-- After a larger step back the pacers start anew, and each window counts all it holds as admitted now (ceilings.lua).
local function followClockBack(ceilings)
  ceilings.pacers = {}
  ceilings.seenMs = nowMs
  pool.blockedUntil = 0
  pool.changed = true
end

local function readPool()
  if pool then return pool end
  local fields = rcall('HMGET', poolKey, 'config', 'ceilings', 'virtualTime', 'blockedUntil')
  pool = {
    config = fields[1] and cmsgpack.unpack(fields[1]) or unlimited,
    virtualTime = tonumber(fields[3] or 0),
    blockedUntil = tonumber(fields[4] or 0),
    nowMs = nowMs,
    changed = false,
  }
  pool.storedVirtualTime, pool.storedBlockedUntil = pool.virtualTime, pool.blockedUntil
  pool.limited = #pool.config.credentials > 0
  if fields[2] then
    local ceilings = cmsgpack.unpack(fields[2])
    pool.ceilings = ceilings
    if nowMs < ceilings.seenMs - heldClockMs then
      followClockBack(ceilings)
    else
      pool.nowMs = math.max(nowMs, ceilings.seenMs)
    end
  else
    pool.ceilings = {
      seenMs = 0, windows = {}, pacers = {}, running = {}, cooldowns = {}, shelved = {}, used = {}, uses = 0,
    }
  end
  return pool
end

local function writePool()
  if not pool then return end
  if pool.changed then
    rcall('HSET', poolKey, 'virtualTime', pool.virtualTime, 'blockedUntil', pool.blockedUntil,
      'ceilings', cmsgpack.pack(pool.ceilings))
  elseif pool.virtualTime ~= pool.storedVirtualTime or pool.blockedUntil ~= pool.storedBlockedUntil then
    rcall('HSET', poolKey, 'virtualTime', pool.virtualTime, 'blockedUntil', pool.blockedUntil)
  end
end
