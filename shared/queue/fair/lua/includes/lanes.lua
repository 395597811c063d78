--[[
  Lanes: one per tenant, and whose turn it is (weighted VTC, see fair-backend.ts for the rule and its bound).

  key.parked             set   the tenants of parked lanes
  key.lanes              zset  <sequence><tenant> by virtual counter: lanes that have work and may be served
  key.lanePrefix..tenant hash  member    its member in key.lanes, while it is there
                              parked    '1' while it has work but is not eligible (its tenant is paused or at its cap)
                              counter   its virtual counter, while it is not in key.lanes
                              lift      the counter it was lifted to when it last got work; no refund goes below
                              running   its jobs in hand
  key.jobsPrefix..tenant zset  <sequence><job id> by class, then second in which it is due: what waits in the lane

    idle -> waiting (in key.lanes) <-> parked -> idle; an idle lane is forgotten after laneIdleMs

  A sequence is 12 hex digits, so ties are broken by arrival. BullMQ's `prioritized` set holds the same job ids with
  scores below zero; whatever else is in there, or in `wait`, was put there by BullMQ and is taken in by intake.lua.
]]
local lanes = {}

-- Members begin with a sequence of 12 hex digits.
function lanes.nameOf(member) return string.sub(member, 13) end

-- A ticket is a field of its job: `<sequence> <class> <due second> <input> <expected output> <max output> <tenant>`.
function lanes.parseTicket(text)
  local sequence, class, due, input, output, max, tenant =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (.*)$')
  return {
    sequence = tonumber(sequence), class = tonumber(class), dueSeconds = tonumber(due), input = tonumber(input),
    output = tonumber(output), max = tonumber(max), tenant = tenant,
  }
end

-- Takes a lane out; it keeps its counter. `parked` when work is left.
function lanes.leave(tenant, member, counter, parked)
  local laneKey = key.lanePrefix .. tenant
  call('ZREM', key.lanes, member)
  call('HDEL', laneKey, 'member')
  if parked then
    call('HSET', laneKey, 'counter', counter, 'parked', '1')
    call('SADD', key.parked, tenant)
  else
    call('HSET', laneKey, 'counter', counter)
    call('PEXPIRE', laneKey, pool.read().config.laneIdleMs)
  end
end

-- A job of the lane is no longer in hand, and `delta` of its charge is corrected; never below what the lane was lifted
-- to. True when a parked lane may take part again.
function lanes.jobLeft(tenant, released, delta)
  local laneKey = key.lanePrefix .. tenant
  local lane = call('HMGET', laneKey, 'member', 'counter', 'lift', 'running', 'parked')
  -- A lane that was forgotten while somebody still held a job of it starts anew.
  local running = tonumber(lane[4] or 0) - (released and 1 or 0)
  if delta ~= 0 and lane[1] then
    local counter = tonumber(call('ZINCRBY', key.lanes, delta, lane[1]))
    if counter < tonumber(lane[3]) then call('ZADD', key.lanes, lane[3], lane[1]) end
    if lane[4] then call('HSET', laneKey, 'running', textOf(math.max(0, running))) end
  elseif delta ~= 0 and lane[2] then
    local counter = math.max(tonumber(lane[2]) + delta, tonumber(lane[3]))
    call('HSET', laneKey, 'running', textOf(math.max(0, running)), 'counter', counter)
  elseif lane[4] then
    call('HSET', laneKey, 'running', textOf(math.max(0, running)))
  end
  if lane[5] then entries.unparkLane(tenant) end
  return lane[5] and true
end

-- `<weight> <most at once, 0 for any number> <paused>` of a tenant.
function lanes.settingsOf(tenant)
  local text = call('HGET', key.tenants, tenant)
  if not text then return 1, pool.read().config.tenantConcurrency, false end
  local weight, atOnce, paused = string.match(text, '^(%S+) (%S+) (%S+)$')
  return tonumber(weight), tonumber(atOnce), paused == '1'
end
