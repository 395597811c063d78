--[[
  Tells why work waits, and where; for people and metrics, never on the way of a job. Changes nothing but what the next
  dispatch would change too: what is too old to count leaves the windows.

  ARGV   tenant  '' for the pool with the depth of its next lanes, its ceilings and credentials, else that lane;
         jobId  '' or a waiting job of that lane; lanesMax
  Reply  JSON, see explain.ts
  Cost   O(lanesMax + ceilings + credentials + log jobs of the lane)
]]
--- @include "calls"
--- @include "clock"
--- @include "pool"
--- @include "reserve"
--- @include "entries"
--- @include "lanes"
--- @include "adopt"

local state = pool.read()
local first = call('ZRANGE', key.lanes, 0, 0, 'WITHSCORES')
local last = call('ZREVRANGE', key.lanes, 0, 0, 'WITHSCORES')
local reply = {
  nowMs = nowMs, lanes = call('ZCARD', key.lanes), parked = call('SCARD', key.parked),
  waiting = call('ZCARD', key.prioritized) + call('LLEN', key.wait), inHand = call('ZCARD', key.leases),
  gap = first[2] and tonumber(last[2]) - tonumber(first[2]) or 0,
  paused = state.config.paused or call('HEXISTS', key.meta, 'paused') == 1, depths = {},
}
local upcoming = call('ZRANGE', key.lanes, 0, tonumber(arg.lanesMax) - 1)
for _, member in ipairs(arg.tenant == '' and upcoming or {}) do
  reply.depths[lanes.nameOf(member)] = call('ZCARD', key.jobsPrefix .. lanes.nameOf(member))
end

-- The weight of all lanes that compete; of very many, that of the next ones stands for the others.
local function totalWeight()
  local total = 0
  for _, member in ipairs(upcoming) do total = total + lanes.settingsOf(lanes.nameOf(member)) end
  return #upcoming > 0 and total * reply.lanes / #upcoming or 0
end

-- What the head of a lane waits for, were it its turn.
local function headOf(tenant)
  local head = call('ZRANGE', key.jobsPrefix .. tenant, 0, 0)[1]
  local text = head and call('HGET', key.jobPrefix .. lanes.nameOf(head), 'ticket')
  if not text then return nil end
  if not state.limited then return nil, nowMs end
  local credential, soonest, reason = reserve.choose(reserve.amountsFor(lanes.parseTicket(text)))
  if credential then return nil, nowMs end
  return reason, soonest < math.huge and soonest or nil
end

-- How far the ceilings are used. Slices are the pace of their window, not ceilings of their own.
local function ceilingsInUse()
  local rows, learned = {}, adopt.read()
  for scope, ceilings in pairs(state.config.scopes) do
    for _, ceiling in ipairs(ceilings) do
      if not ceiling.clamped then
        local isConcurrency = ceiling.dimension == limits.concurrency
        local used = isConcurrency and pool.running(scope) or limits.windowOf(ceiling)[3]
        local said = learned[ceiling.key] and learned[ceiling.key].limit
        rows[#rows + 1] = { scope = scope, name = ceiling.name, used = used, amount = ceiling.amount, said = said }
      end
    end
  end
  return rows
end

-- Whether a credential may be called, and for how long it may not.
local function stateOf(id)
  local gate = pool.health[id] or {}
  local cooledMs = (pool.ceilings.cooldowns[id] or 0) - nowMs
  if gate.openUntilMs then
    return gate.why == 'billing' and 'billing' or 'open', math.max(0, health.opensAt(id) - nowMs)
  end
  if cooledMs > 0 then return 'cooldown', cooledMs end
  return gate.rampFromMs and 'ramping' or 'ready', 0
end

local function credentialsNow()
  local rows = {}
  for _, credential in ipairs(state.config.credentials) do
    local id = credential.id
    local name, heldMs = stateOf(id)
    local refusals = tonumber(call('HGET', key.pool, 'refusals:' .. id) or 0)
    rows[#rows + 1] = { id = id, scope = credential.scope, state = name, heldMs = heldMs, refusals = refusals }
  end
  return rows
end

local tenant = arg.tenant
if tenant == '' then
  reply.delayed, reply.ceilings, reply.credentials = call('ZCARD', key.delayed), ceilingsInUse(), credentialsNow()
  reply.state, reply.heldMs = stateOf(health.whole)
  if reply.paused then
    reply.waitReason = 'paused'
  elseif first[1] then
    reply.waitReason = headOf(lanes.nameOf(first[1]))
  elseif reply.parked > 0 then
    reply.waitReason = 'tenant_concurrency'
  end
else
  local lane = call('HMGET', key.lanePrefix .. tenant, 'member', 'parked', 'running')
  local weight, _, paused = lanes.settingsOf(tenant)
  local rank = lane[1] and call('ZRANK', key.lanes, lane[1]) or nil
  local reason, fitsAtMs
  if reply.paused or paused then
    reason = 'paused'
  elseif lane[2] then
    reason = 'tenant_concurrency'
  elseif rank then
    local front = rank == 0 and tenant or lanes.nameOf(first[1])
    reason, fitsAtMs = headOf(front)
    if rank > 0 then reason = reason or 'fair_share' end
  end
  reply.lane = {
    depth = call('ZCARD', key.jobsPrefix .. tenant), running = tonumber(lane[3] or 0), weight = weight,
    turn = rank, waitReason = reason, fitsAtMs = fitsAtMs, totalWeight = totalWeight(),
  }
  if arg.jobId ~= '' then
    local text = call('HGET', key.jobPrefix .. arg.jobId, 'ticket')
    local ticket = text and lanes.parseTicket(text)
    local at = ticket and call('ZRANK', key.jobsPrefix .. tenant, entries.memberOf(ticket.sequence, arg.jobId))
    if at then
      reply.lane.position = at
    elseif call('ZSCORE', key.delayed, arg.jobId) then
      reply.lane.waitReason = 'scheduled'
    end
  end
end
pool.write()
return cjson.encode(reply)
