--[[
  Dispatch: the atomic decision which jobs start now, on which credential, and otherwise when to ask again.

  The lane with the smallest counter is served; the head of that lane that does not fit its ceilings is waited for, so
  that large calls are not starved and the bound holds. A lane that is not eligible (paused, at its cap) is parked and
  holds up nobody. Every loop is bounded per call. Cost: O(log lanes) per job, whatever waits behind it.
]]
-- Heads that turn out to be gone, and lanes that turn out not to be eligible, beyond the jobs handed out.
local triesMax = 100
-- Nothing announces the end of such a wait; ask again after this long.
local recheckMs = 1000

-- How many more jobs BullMQ's own settings allow now: its pause, its concurrency, its limiter. The second result is how
-- long the limiter refuses, in milliseconds.
local function allowedByQueue(count)
  local meta = rcall('HMGET', metaKey, 'paused', 'concurrency', 'max', 'duration')
  if meta[1] then return 0, 0 end
  if meta[2] then count = math.min(count, tonumber(meta[2]) - rcall('LLEN', activeKey)) end
  local limit = tonumber(meta[3]) or tonumber(limiterMax)
  if not limit then return count, 0 end
  local used = tonumber(rcall('GET', limiterKey) or 0)
  if used < limit then return math.min(count, limit - used), 0, tonumber(meta[4]) or tonumber(limiterDurationMs) end
  return 0, math.max(0, rcall('PTTL', limiterKey))
end

local function countInLimiter(started, durationMs)
  if durationMs and started > 0 and rcall('INCRBY', limiterKey, started) == started then
    rcall('PEXPIRE', limiterKey, math.floor(math.abs(durationMs)))
  end
end

local function fieldsOf(flat)
  local fields = {}
  for index = 1, #flat, 2 do fields[flat[index]] = flat[index + 1] end
  return fields
end

-- Hands the job to a worker: active, locked, stamped. Adds what it stamps to the fields the worker will see.
local function activate(jobId, flat, starts, grantText, token)
  local jobKey = jobKeyPrefix .. jobId
  rcall('LPUSH', activeKey, jobId)
  if token ~= '0' then rcall('SET', jobKey .. ':lock', token, 'PX', lockMs) end
  local stamp = { 'processedOn', nowMs, 'ats', starts, 'grant', grantText }
  if workerName ~= '' then stamp[7], stamp[8] = 'pb', workerName end
  rcall('HSET', jobKey, unpack(stamp))
  for _, part in ipairs(stamp) do flat[#flat + 1] = part end
  rcall('XADD', eventsKey, '*', 'event', 'active', 'jobId', jobId, 'prev', 'waiting')
end

--[[
  Serves the first lane once. Returns a handed-out job, or nil and what happened: 'dropped' (a head that is gone),
  'parked', 'blocked' (pool.blockedUntil says until when) or 'empty'.
]]
local function serveFirstLane(tenants, token)
  local first = rcall('ZRANGE', lanesKey, 0, 0, 'WITHSCORES')
  if not first[1] then return nil, 'empty' end
  local laneMember, counter = first[1], tonumber(first[2])
  local tenant = nameOf(laneMember)
  local settings = tenants[tenant]
  if not settings then
    settings = { readTenant(tenant) }
    tenants[tenant] = settings
  end
  local weight, atOnce, paused = settings[1], settings[2], settings[3]
  local laneKey = laneKeyPrefix .. tenant
  if paused or (atOnce > 0 and tonumber(rcall('HGET', laneKey, 'running') or 0) >= atOnce) then
    leaveLanes(tenant, laneMember, counter, true)
    return nil, 'parked'
  end

  local jobsKey = jobsKeyPrefix .. tenant
  local heads = rcall('ZRANGE', jobsKey, 0, 1)
  local jobId = heads[1] and nameOf(heads[1])
  local flat = jobId and rcall('HGETALL', jobKeyPrefix .. jobId) or {}
  local job = fieldsOf(flat)
  local ticket = job.ticket and parseTicket(job.ticket)
  local credential, reservation, grantName, grantScope = nil, nothing, '-', '-'
  if ticket and pool.limited and not job.defa then
    reservation = reservationFor(ticket)
    local chosen, soonest, reason, oversize = chooseCredential(reservation)
    if chosen then
      credential, grantName, grantScope = chosen, chosen.id, chosen.scope
    elseif oversize then -- No wait would ever help: the worker is to refuse it.
      reservation, grantName = nothing, '!oversize'
    else
      pool.blockedUntil = soonest < math.huge and soonest or nowMs + recheckMs
      return nil, 'blocked'
    end
  end

  rcall('ZREM', jobsKey, heads[1] or '')
  if not ticket or rcall('ZREM', prioritizedKey, jobId) == 0 then -- Removed, or moved on: not ours to hand out.
    if not heads[2] then leaveLanes(tenant, laneMember, counter, false) end
    return nil, 'dropped'
  end

  if credential then chargeReservation(credential, reservation) end
  local cost = job.defa and 0 or costOf(ticket.input, ticket.output)
  local grantText = formatGrant({
    timeMs = pool.nowMs, credential = grantName, scope = grantScope, weight = weight, cost = cost, reservation = reservation,
  })
  activate(jobId, flat, tonumber(job.ats or 0) + 1, grantText, token)
  rcall('ZADD', leasesKey, nowMs + pool.config.leaseMs, leaseOf(grantScope, jobId, tenant))
  pool.virtualTime = math.max(pool.virtualTime, counter)
  counter = counter + cost / weight
  rcall('HINCRBY', laneKey, 'running', 1)
  if heads[2] then
    rcall('ZADD', lanesKey, counter, laneMember)
  else
    leaveLanes(tenant, laneMember, counter, false)
  end
  return { flat, jobId, grantText }
end

local function tokenAt(index)
  return tokenFrom == '' and tokenPrefix or tokenPrefix .. (tokenFrom + index)
end

local function nextDelayedMs()
  local score = rcall('ZRANGE', delayedKey, 0, 0, 'WITHSCORES')[2]
  return score and math.floor(tonumber(score) / 0x1000)
end

-- Somebody left a place without taking the next job: an idle worker is to look.
local function wakeIdle()
  if rcall('ZCARD', lanesKey) > 0 and rcall('HEXISTS', metaKey, 'paused') == 0 then rcall('ZADD', markerKey, 0, '0') end
end

--[[
  Hands out up to `count` jobs with tokens `<tokenPrefix><tokenFrom>` onwards, or the one token `<tokenPrefix>`.
  Returns { jobs, milliseconds after which to ask again (-1: when told), milliseconds BullMQ's limiter refuses }.
]]
local function handOut(count)
  local jobs = {}
  readPool()
  releaseEndedLeases()
  local leftOver = takeInAll()
  local allowed, limitedMs, limiterDuration = allowedByQueue(count)
  if allowed <= 0 then return { jobs, -1, limitedMs } end

  local tenants, tries, outcome = {}, allowed + triesMax, nil
  while #jobs < allowed and tries > 0 and pool.blockedUntil <= nowMs do
    local job
    job, outcome = serveFirstLane(tenants, tokenAt(#jobs))
    if job then jobs[#jobs + 1] = job end
    if outcome == 'empty' then break end
    tries = tries - 1
  end
  countInLimiter(#jobs, limiterDuration)

  -- Idle workers learn what this call leaves behind, and this one, if it has places left, when to come back.
  local blocked, dueMs = pool.blockedUntil > nowMs, nil
  if leftOver or (not blocked and outcome ~= 'empty' and rcall('ZCARD', lanesKey) > 0) then
    rcall('ZADD', markerKey, 0, '0')
  else
    dueMs = nextDelayedMs()
    if dueMs and #jobs > 0 then rcall('ZADD', markerKey, dueMs, '1') end
  end
  if #jobs == count then return { jobs, -1, 0 } end
  local wakeAtMs = math.min(blocked and pool.blockedUntil or math.huge, dueMs or math.huge)
  return { jobs, wakeAtMs < math.huge and math.max(0, wakeAtMs - nowMs) or -1, 0 }
end
