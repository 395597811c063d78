--[[
  Dispatch: the atomic decision which jobs start now, on which credential, and otherwise when to ask again.

  The lane with the smallest counter is served; the head of that lane that does not fit its ceilings is waited for, so
  that large calls are not starved and the bound holds. A lane that is not eligible (paused, at its cap) is parked and
  holds up nobody. Every loop is bounded per call. Cost: O(log lanes) per job, whatever waits behind it.
]]
local dispatch = {
  -- Heads that turn out to be gone, and lanes that turn out not to be eligible, beyond the jobs handed out.
  triesMax = 100,
  -- Nothing announces the end of such a wait; ask again after this long.
  recheckMs = 1000,
  -- Of the workers that wait for the same moment so many are told to come back at it; the others come one after the
  -- other afterwards, in case those do not, so that idle workers cost a pool little, however many there are.
  punctualMax = 4, lateStepMs = 10, latestMs = 250,
}

-- Whether BullMQ put something where it is to be taken in from.
function dispatch.hasIntake()
  if call('ZCOUNT', key.prioritized, '0', '+inf') > 0 then return true end
  if call('EXISTS', key.wait, key.delayed) == 0 then
    pool.nothingDelayed = true
    return false
  end
  return call('LLEN', key.wait) > 0
    or #call('ZRANGEBYSCORE', key.delayed, '0', textOf((nowMs + 1) * 0x1000 - 1), 'LIMIT', '0', '1') > 0
end

-- How many more jobs the pause of the pool and BullMQ's own settings allow now: its pause, its concurrency, its limiter; how long the limiter
-- refuses, in milliseconds; and the limiter's window, when there is one.
function dispatch.allowedByQueue(count)
  local meta = call('HMGET', key.meta, 'paused', 'concurrency', 'max', 'duration')
  if meta[1] or pool.config.paused then return 0, 0 end
  if meta[2] then count = math.min(count, tonumber(meta[2]) - call('LLEN', key.active)) end
  local limit = tonumber(meta[3]) or tonumber(arg.limiterMax)
  if not limit then return count, 0 end
  local used = tonumber(call('GET', key.limiter) or 0)
  if used >= limit then return 0, math.max(0, call('PTTL', key.limiter)) end
  return math.min(count, limit - used), 0, tonumber(meta[4]) or tonumber(arg.limiterDurationMs)
end

-- The lane that is next, unless it is not eligible: then it is parked. A table of what serving it needs.
function dispatch.nextLane(tenants)
  local first = call('ZRANGE', key.lanes, '0', '0', 'WITHSCORES')
  if not first[1] then return nil, 'empty' end
  local tenant = lanes.nameOf(first[1])
  local lane = tenants[tenant]
  if not lane then
    local weight, atOnce, paused = lanes.settingsOf(tenant)
    lane = { tenant = tenant, weight = weight, atOnce = atOnce, paused = paused, started = 0 }
    lane.key, lane.jobsKey = key.lanePrefix .. tenant, key.jobsPrefix .. tenant
    if atOnce > 0 then lane.running = tonumber(call('HGET', lane.key, 'running') or 0) end
    tenants[tenant] = lane
  end
  lane.member, lane.counter = first[1], tonumber(first[2])
  if lane.paused or (lane.atOnce > 0 and lane.running + lane.started >= lane.atOnce) then
    lanes.leave(tenant, lane.member, lane.counter, true)
    return nil, 'parked'
  end
  return lane
end

-- The credential that admits the reservation; nil when none does yet (pool.blockedUntil), and what is waited for.
function dispatch.admit(reservation)
  local credential, soonest, waitedFor, oversize = reserve.choose(reservation)
  if credential then return credential end
  -- No wait would ever help: the worker is to refuse it.
  if oversize then return { id = '!oversize', scope = '-' } end
  pool.blockedUntil = soonest < math.huge and soonest or nowMs + dispatch.recheckMs
  return nil, waitedFor or 'unknown'
end

-- Locks the job for its worker and stamps it; `fields` are what the worker will see.
function dispatch.activate(jobId, fields, starts, grant, token)
  local jobKey = key.jobPrefix .. jobId
  if token ~= '0' then call('SET', jobKey .. ':lock', token, 'PX', arg.lockMs) end
  local named = arg.workerName ~= ''
  if named then
    call('HSET', jobKey, 'processedOn', nowText, 'ats', textOf(starts), 'grant', grant, 'pb', arg.workerName)
  else
    call('HSET', jobKey, 'processedOn', nowText, 'ats', textOf(starts), 'grant', grant)
  end
  local last = #fields
  fields[last + 1], fields[last + 2], fields[last + 3], fields[last + 4] = 'processedOn', nowMs, 'ats', starts
  if named then fields[last + 5], fields[last + 6] = 'pb', arg.workerName end
  rcall('XADD', key.events, '*', 'event', 'active', 'jobId', jobId, 'prev', 'waiting')
end

--[[
  Serves the lane whose turn it is once. Returns a job, or nil and what happened: 'dropped' (its head was gone),
  'parked', 'blocked' or 'empty'.
]]
function dispatch.serve(tenants, token)
  local lane, outcome = dispatch.nextLane(tenants)
  if not lane then return nil, outcome end
  local heads = call('ZRANGE', lane.jobsKey, '0', '1')
  local jobId = heads[1] and lanes.nameOf(heads[1])
  local fields = jobId and call('HGETALL', key.jobPrefix .. jobId) or {}
  local ticketText, starts, isFailing
  for index = 1, #fields, 2 do
    local name = fields[index]
    if name == 'ticket' then ticketText = fields[index + 1]
    elseif name == 'ats' then starts = tonumber(fields[index + 1])
    elseif name == 'defa' then isFailing = true end
  end
  local ticket = ticketText and lanes.parseTicket(ticketText)
  local credential, scope, reservation, cost = '-', '-', { 0, 0, 0, 0 }, 0
  local admitted, waitedFor
  if ticket and not isFailing then -- A failing one BullMQ fails without running it.
    if pool.limited then
      local amounts = reserve.amountsFor(ticket)
      admitted, waitedFor = dispatch.admit(amounts)
      if not admitted then return nil, 'blocked', waitedFor, lane.tenant end
      credential, scope = admitted.id, admitted.scope
      if scope ~= '-' then reservation = amounts end
    end
    cost = pool.config.inputWeight * ticket.input + pool.config.outputWeight * ticket.output
  end

  if heads[1] then call('ZREM', lane.jobsKey, heads[1]) end
  -- A head that was removed, or moved elsewhere, is not ours to hand out.
  if not ticket or call('ZREM', key.prioritized, jobId) == 0 then
    if not heads[2] then lanes.leave(lane.tenant, lane.member, lane.counter, false) end
    return nil, 'dropped'
  end
  local lastsMs, watched
  if scope ~= '-' then lastsMs, watched = reserve.charge(admitted, reservation, jobId) end
  pool.virtualTime = math.max(pool.virtualTime, lane.counter)
  lane.started = lane.started + 1
  local counter = lane.counter + cost / lane.weight
  pool.laneGoesOn = heads[2] ~= nil
  if heads[2] then
    call('ZADD', key.lanes, counter, lane.member)
  else
    lanes.leave(lane.tenant, lane.member, counter, false)
  end
  local grant = grants.pack(lane.tenant, lane.weight, cost, credential, scope, reservation)
  dispatch.activate(jobId, fields, (starts or 0) + 1, grant, token)
  local told = textOf(pool.nowMs) .. ' ' .. credential .. ' ' .. (lastsMs and textOf(lastsMs) or '-')
    .. (watched and ' watched' or '')
  return { fields, jobId, told, leases.memberOf(scope, jobId, lane.tenant) }
end

-- How much later than it fits one more caller that waits for it is to come back.
function dispatch.lateness()
  -- Whoever finds a new moment to wait for is the first; pool.write begins to count anew.
  if pool.blockedUntil ~= pool.storedBlockedUntil then return 0 end
  local others = call('HINCRBY', key.pool, 'told', '1')
  return math.min(dispatch.latestMs, math.max(0, others - dispatch.punctualMax + 1) * dispatch.lateStepMs)
end

-- What all jobs of a call have in common is written once.
function dispatch.writeStarted(jobs, tenants, limiterDurationMs)
  if #jobs == 0 then return end
  local ids, ends, endText = {}, {}, textOf(nowMs + pool.config.leaseMs)
  for index, job in ipairs(jobs) do
    ids[index] = job[2]
    ends[2 * index - 1], ends[2 * index], job[4] = endText, job[4], nil
  end
  call('LPUSH', key.active, unpack(ids))
  call('ZADD', key.leases, unpack(ends))
  for _, lane in pairs(tenants) do
    if lane.started > 0 then call('HINCRBY', lane.key, 'running', textOf(lane.started)) end
  end
  if limiterDurationMs and call('INCRBY', key.limiter, #jobs) == #jobs then
    call('PEXPIRE', key.limiter, math.floor(math.abs(limiterDurationMs)))
  end
end

function dispatch.tokenAt(index)
  return arg.tokenFrom == '' and arg.tokenPrefix or arg.tokenPrefix .. textOf(arg.tokenFrom + index)
end

function dispatch.nextDelayedMs()
  if pool.nothingDelayed then return nil end
  local score = call('ZRANGE', key.delayed, '0', '0', 'WITHSCORES')[2]
  return score and math.floor(tonumber(score) / 0x1000)
end

-- Something may fit that did not, and this caller takes nothing: an idle worker is to look.
function dispatch.wakeIdle()
  if call('HEXISTS', key.meta, 'paused') == 0 then call('ZADD', key.marker, '0', '0') end
end

--[[
  Hands out up to `count` jobs with tokens `<tokenPrefix><tokenFrom>` onwards, or the one token `<tokenPrefix>`.
  Returns { jobs, milliseconds after which it is worth asking again (-1: when told), milliseconds BullMQ's limiter refuses,
  how much later a caller that will come back is to do so } and, if this call found that the next head does not fit yet,
  what that waits for and whose it is.
]]
function dispatch.handOut(count, comesBack)
  local jobs = {}
  pool.read()
  leases.releaseEnded()
  local leftOver = dispatch.hasIntake() and intake.takeAll()
  local allowed, limitedMs, limiterDurationMs = dispatch.allowedByQueue(count)
  if allowed <= 0 then return { jobs, -1, limitedMs, 0 } end

  local tenants, tries, outcome, waitedFor, waiting = {}, allowed + dispatch.triesMax, nil, nil, nil
  while #jobs < allowed and tries > 0 and pool.blockedUntil <= nowMs do
    local job
    job, outcome, waitedFor, waiting = dispatch.serve(tenants, dispatch.tokenAt(#jobs))
    if job then jobs[#jobs + 1] = job end
    if outcome == 'empty' then break end
    tries = tries - 1
  end
  dispatch.writeStarted(jobs, tenants, limiterDurationMs)

  -- Idle workers learn what this call leaves behind, and this one, if it has places left, when to come back.
  local blocked, dueMs = pool.blockedUntil > nowMs, nil
  if leftOver or (not blocked and outcome ~= 'empty' and (pool.laneGoesOn or call('ZCARD', key.lanes) > 0)) then
    call('ZADD', key.marker, '0', '0')
  else
    dueMs = dispatch.nextDelayedMs()
    if dueMs and #jobs > 0 then call('ZADD', key.marker, dueMs, '1') end
  end
  if #jobs == count then return { jobs, -1, 0, 0 } end
  local wakeAtMs = math.min(blocked and pool.blockedUntil or math.huge, dueMs or math.huge)
  local lateMs = comesBack and wakeAtMs == pool.blockedUntil and dispatch.lateness() or 0
  return { jobs, wakeAtMs < math.huge and math.max(0, wakeAtMs - nowMs) or -1, 0, lateMs, waitedFor, waiting }
end
