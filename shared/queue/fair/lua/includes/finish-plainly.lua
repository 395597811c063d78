--[[
  What BullMQ's moveToFinished does for a completed job that leaves nothing behind, with its replies: 0, -1 the job is
  gone, -2 its lock is gone, -6 somebody else holds it, -3 it is not active. 1: it is not that plain.
]]
local function finishPlainly(jobId, tokenHeld)
  local jobKey = key.jobPrefix .. jobId
  local lockKey = jobKey .. ':lock'
  local job = call('HMGET', jobKey, 'grant', 'parentKey', 'deid', 'timestamp')
  if not job[4] then return -1 end
  if job[2] or job[3] or call('EXISTS', jobKey .. ':dependencies', jobKey .. ':unsuccessful') > 0 then return 1 end
  local token = call('GET', lockKey)
  if token ~= tokenHeld then return token and -6 or -2 end
  if call('LREM', key.active, '-1', jobId) == 0 then
    call('DEL', lockKey)
    return -3
  end
  call('DEL', jobKey, lockKey, jobKey .. ':logs', jobKey .. ':processed', jobKey .. ':failed')
  call('SREM', key.stalled, jobId)
  return 0, job[1]
end
