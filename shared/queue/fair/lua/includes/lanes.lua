--[[
  Lanes: one per tenant, and whose turn it is (weighted VTC, see fair-backend.ts for the rule and its bound).

  parkedKey             set   the tenants of parked lanes
  lanesKey              zset  <sequence><tenant> by virtual counter: lanes that have work and may be served
  laneKeyPrefix..tenant hash  member    its member in lanesKey, while it is there
                              parked    '1' while it has work but is not eligible (its tenant is paused or at its cap)
                              counter   its virtual counter, while it is not in lanesKey
                              lift      the counter it was lifted to when it last got work; no refund goes below
                              running   its jobs in hand
  jobsKeyPrefix..tenant zset  <sequence><job id> by class, then second in which it is due: what waits in the lane

    idle -> waiting (in lanesKey) <-> parked -> idle; an idle lane is forgotten after laneIdleMs

  A sequence is 12 hex digits, so ties are broken by arrival. BullMQ's `prioritized` set holds the same job ids with
  scores below zero; whatever else is in there, or in `wait`, was put there by BullMQ and is taken in by intake.lua.
]]
local sequenceDigits = 12
local scorePerClass = 0x100000000
local ownScores = -0x20000000000000
local classMax = 0x1FFFFF

local function memberOf(sequence, name) return string.format('%012x', sequence) .. name end
local function nameOf(member) return string.sub(member, sequenceDigits + 1) end

-- A ticket is a field of its job: `<sequence> <class> <due second> <input> <expected output> <max output> <tenant>`.
local function formatTicket(ticket)
  return string.format('%d %d %d %d %d %d %s', ticket.sequence, ticket.class, ticket.dueSeconds, ticket.input,
    ticket.output, ticket.max, ticket.tenant)
end

local function parseTicket(text)
  local sequence, class, due, input, output, max, tenant =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  return {
    sequence = tonumber(sequence), class = tonumber(class), dueSeconds = tonumber(due), input = tonumber(input),
    output = tonumber(output), max = tonumber(max), tenant = tenant,
  }
end

-- Lets a lane with work take part. Idle credit is lost, debt is kept.
local function joinLanes(tenant, sequence)
  local laneKey = laneKeyPrefix .. tenant
  local lane = rcall('HMGET', laneKey, 'member', 'parked', 'counter')
  if lane[1] or lane[2] then return end
  local first = rcall('ZRANGE', lanesKey, 0, 0, 'WITHSCORES')
  local lift = tonumber(first[2] or (pool and pool.virtualTime) or rcall('HGET', poolKey, 'virtualTime') or 0)
  local member = memberOf(sequence, tenant)
  rcall('ZADD', lanesKey, math.max(tonumber(lane[3] or 0), lift), member)
  rcall('HSET', laneKey, 'member', member, 'lift', lift)
  rcall('PERSIST', laneKey)
end

-- Takes a lane out; it keeps its counter. `parked` when work is left.
local function leaveLanes(tenant, member, counter, parked)
  local laneKey = laneKeyPrefix .. tenant
  rcall('ZREM', lanesKey, member)
  rcall('HDEL', laneKey, 'member')
  if parked then
    rcall('HSET', laneKey, 'counter', counter, 'parked', '1')
    rcall('SADD', parkedKey, tenant)
  else
    rcall('HSET', laneKey, 'counter', counter)
    rcall('PEXPIRE', laneKey, readPool().config.laneIdleMs)
  end
end

-- A parked lane may try again; dispatch parks it anew if it is still not eligible.
local function unparkLane(tenant)
  local head = rcall('ZRANGE', jobsKeyPrefix .. tenant, 0, 0)[1]
  rcall('HDEL', laneKeyPrefix .. tenant, 'parked')
  rcall('SREM', parkedKey, tenant)
  if head then joinLanes(tenant, tonumber(string.sub(head, 1, sequenceDigits), 16)) end
end

-- Puts a waiting job into its lane, at the place its class, due time and arrival give it. A BullMQ priority is its class
-- before the ticket's own, and may have been changed since.
local function enterLane(jobId, ticket, priority)
  local class = math.min(priority > 0 and priority or ticket.class, classMax)
  local member = memberOf(ticket.sequence, jobId)
  rcall('ZADD', prioritizedKey, class * scorePerClass + ticket.sequence % scorePerClass + ownScores, jobId)
  rcall('ZADD', jobsKeyPrefix .. ticket.tenant, class * scorePerClass + ticket.dueSeconds, member)
  joinLanes(ticket.tenant, ticket.sequence)
  -- While a head waits for its ceilings nobody looks; a job that is now the head of its lane may fit earlier.
  local blockedUntil = pool and pool.blockedUntil or tonumber(rcall('HGET', poolKey, 'blockedUntil') or 0)
  if blockedUntil > nowMs and rcall('ZRANGE', jobsKeyPrefix .. ticket.tenant, 0, 0)[1] == member then
    if pool then pool.blockedUntil = 0 else rcall('HSET', poolKey, 'blockedUntil', 0) end
    return 0
  end
  return blockedUntil
end

-- Adds `delta` to the counter of a lane, but never takes it below what the lane was lifted to.
local function moveCounter(tenant, delta)
  if delta == 0 then return end
  local laneKey = laneKeyPrefix .. tenant
  local lane = rcall('HMGET', laneKey, 'member', 'counter', 'lift')
  local counter = lane[1] and rcall('ZSCORE', lanesKey, lane[1]) or lane[2]
  if not counter then return end
  counter = math.max(tonumber(counter) + delta, tonumber(lane[3] or 0))
  if lane[1] then rcall('ZADD', lanesKey, counter, lane[1]) else rcall('HSET', laneKey, 'counter', counter) end
end

-- `<weight> <most at once, 0 for any number> <paused>` of a tenant.
local function readTenant(tenant)
  local text = rcall('HGET', tenantsKey, tenant)
  if not text then return 1, readPool().config.tenantConcurrency, false end
  local weight, atOnce, paused = string.match(text, '^(%S+) (%S+) (%S+)$')
  return tonumber(weight), tonumber(atOnce), paused == '1'
end
