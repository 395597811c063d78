--[[
  Leases: who holds a job counts against its tenant's cap and its scope's concurrency until the lease is released. A
  lease that nobody releases (the job vanished with its worker) ends by itself.

  leasesKey  zset  `<scope>\n<job id>\n<tenant>` by the time it ends
]]
local endedLeasesMax = 20

local function leaseOf(scope, jobId, tenant) return scope .. '\n' .. jobId .. '\n' .. tenant end

-- Releases once, however often it is called.
local function releaseLease(scope, jobId, tenant)
  if rcall('ZREM', leasesKey, leaseOf(scope, jobId, tenant)) == 0 then return end
  local laneKey = laneKeyPrefix .. tenant
  -- The lane may have been forgotten while a lease outlived it.
  if rcall('HINCRBY', laneKey, 'running', -1) < 0 then rcall('HDEL', laneKey, 'running') end
  if rcall('HEXISTS', laneKey, 'parked') == 1 then unparkLane(tenant) end
  if scope == '-' then return end
  local running = readPool().ceilings.running
  if running[scope] then
    running[scope] = running[scope] > 1 and running[scope] - 1 or nil
    pool.changed = true
  end
  pool.blockedUntil = 0
end

local function releaseEndedLeases()
  for _, lease in ipairs(rcall('ZRANGEBYSCORE', leasesKey, '-inf', nowMs, 'LIMIT', 0, endedLeasesMax)) do
    local scope, jobId, tenant = string.match(lease, '^([^\n]*)\n([^\n]*)\n(.*)$')
    releaseLease(scope, jobId, tenant)
  end
end
