-- reseal-keys: the same keys of an endpoint, encrypted with a newer key; nothing if they were replaced meanwhile.
-- KEYS  endpoint
-- ARGV  before (as they were read), sealed
-- reply 'resealed' | 'other'
-- cost  O(1)
if redis.call('HGET', endpoint, 'keys') ~= before then
  return 'other'
end
redis.call('HSET', endpoint, 'keys', sealed)
return 'resealed'
