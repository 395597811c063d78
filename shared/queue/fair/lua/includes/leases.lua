--[[
  Leases: who holds a job counts against its tenant's cap and its scope's concurrency until the lease is released. A
  lease that nobody releases (the job vanished with its worker) ends by itself.

  key.leases  zset  `<scope>\n<job id>\n<tenant>` by the time it ends; `-` for no scope
]]
local leases = { endedMax = '20' }

function leases.memberOf(scope, jobId, tenant) return scope .. '\n' .. jobId .. '\n' .. tenant end

-- Releases once, however often it is called. `delta` corrects the counter of the lane. True when somebody may be
-- waiting for the place.
function leases.release(scope, jobId, tenant, delta)
  local released = call('ZREM', key.leases, leases.memberOf(scope, jobId, tenant)) == 1
  local unparked = lanes.jobLeft(tenant, released, delta)
  if scope == '-' then return unparked end
  if released then pool.addRunning(scope, '-1') end
  return pool.unblock() or unparked
end

function leases.releaseEnded()
  for _, lease in ipairs(call('ZRANGEBYSCORE', key.leases, '-inf', nowText, 'LIMIT', '0', leases.endedMax)) do
    local scope, jobId, tenant = string.match(lease, '^([^\n]*)\n([^\n]*)\n(.*)$')
    leases.release(scope, jobId, tenant, 0)
  end
end
