-- prepare-message: fixes the bytes of a message made from the record of a job.
-- The record has done its part: from then on it is kept no longer than any other.
-- KEYS  message, record
-- ARGV  payload, retentionMs, recordMs (retention of a record, from the end of its job)
-- reply 'prepared' | 'gone'
-- cost  O(size of the payload)
if redis.call('EXISTS', message) == 0 then
  return 'gone'
end
redis.call('HSETNX', message, 'payload', payload)
redis.call('PEXPIRE', message, retentionMs)
local finishedMs = redis.call('HGET', record, 'finishedMs')
if finishedMs then
  redis.call('PEXPIRE', record, math.max(1, finishedMs + recordMs - nowMs))
end
return 'prepared'
