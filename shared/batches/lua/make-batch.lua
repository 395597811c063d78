-- make-batch: makes the record of a batch, once. Holds its input file, and takes one of the tenant's open batches.
-- KEYS  batch, batches, openBatches, file
-- ARGV  batchId, openMax, windowMs; rest = field, value, …
-- reply {'made', createdMs} | {'no_file', 0} | {'too_many', open batches}
-- cost  O(log batches of the tenant)
-- A command that is sent again because its reply was lost finds its own record and changes nothing.
local createdMs = redis.call('HGET', batch, 'createdMs')
if createdMs then
  return {'made', tonumber(createdMs)}
end
if redis.call('EXISTS', file) == 0 then
  return {'no_file', 0}
end
local open = redis.call('SCARD', openBatches)
if open >= tonumber(openMax) then
  return {'too_many', open}
end
local fields = {}
for index = restFrom, #ARGV do
  fields[#fields + 1] = ARGV[index]
end
redis.call('HSET', batch, 'status', 'validating', 'createdMs', nowMs, 'expiresMs', nowMs + tonumber(windowMs),
  unpack(fields))
redis.call('ZADD', batches, nowMs, batchId)
redis.call('SADD', openBatches, batchId)
redis.call('HINCRBY', file, 'holds', 1)
return {'made', nowMs}
