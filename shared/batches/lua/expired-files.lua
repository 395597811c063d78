-- expired-files: files whose time has come.
-- KEYS  fileExpiry
-- ARGV  batch
-- reply {fileId, …}
-- cost  O(log files of the tenant + batch)
return redis.call('ZRANGE', fileExpiry, '-inf', nowMs, 'BYSCORE', 'LIMIT', 0, batch)
