--[[
  Entries: a job enters its lane, and a lane enters the competition. See lanes.lua for what is kept where.
]]
local entries = {}
local scorePerClass, ownScores, classMax = 0x100000000, -0x20000000000000, 0x1FFFFF

function entries.memberOf(sequence, name) return string.format('%012x', sequence) .. name end

function entries.formatTicket(ticket)
  return string.format('%d %d %d %d %d %d %s', ticket.sequence, ticket.class, ticket.dueSeconds, ticket.input,
    ticket.output, ticket.max, ticket.tenant)
end

-- Lets a lane with work take part. Idle credit is lost, debt is kept: it begins where the lane served last began, which
-- is before those that have waited, or with the first of these if that is earlier.
function entries.joinLanes(tenant, sequence)
  local laneKey = key.lanePrefix .. tenant
  local lane = call('HMGET', laneKey, 'member', 'parked', 'counter')
  if lane[1] or lane[2] then return end
  local first = call('ZRANGE', key.lanes, '0', '0', 'WITHSCORES')
  local lift = tonumber(pool.loaded and pool.virtualTime or call('HGET', key.pool, 'virtualTime') or 0)
  if first[2] then lift = math.min(lift, tonumber(first[2])) end
  local member = entries.memberOf(sequence, tenant)
  call('ZADD', key.lanes, math.max(tonumber(lane[3] or 0), lift), member)
  call('HSET', laneKey, 'member', member, 'lift', lift)
  call('PERSIST', laneKey)
end

-- A parked lane may try again; dispatch parks it anew if it is still not eligible.
function entries.unparkLane(tenant)
  local head = call('ZRANGE', key.jobsPrefix .. tenant, '0', '0')[1]
  call('HDEL', key.lanePrefix .. tenant, 'parked')
  call('SREM', key.parked, tenant)
  if head then entries.joinLanes(tenant, tonumber(string.sub(head, 1, 12), 16)) end
end

-- Puts a waiting job into its lane, at the place its class, due time and arrival give it. A BullMQ priority is its class
-- before the ticket's own, and may have been changed since.
function entries.enterLane(jobId, ticket, priority)
  local class = math.min(priority > 0 and priority or ticket.class, classMax)
  local member = entries.memberOf(ticket.sequence, jobId)
  call('ZADD', key.prioritized, class * scorePerClass + ticket.sequence % scorePerClass + ownScores, jobId)
  call('ZADD', key.jobsPrefix .. ticket.tenant, class * scorePerClass + ticket.dueSeconds, member)
  entries.joinLanes(ticket.tenant, ticket.sequence)
  -- While a head waits for its ceilings nobody looks; a job that is now the head of its lane may fit earlier.
  local blockedUntil = pool.loaded and pool.blockedUntil or tonumber(call('HGET', key.pool, 'blockedUntil') or 0)
  if blockedUntil > nowMs and call('ZRANGE', key.jobsPrefix .. ticket.tenant, '0', '0')[1] == member then
    pool.unblock()
    return 0
  end
  return blockedUntil
end

