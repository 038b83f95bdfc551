/**
 * The cache: its memory, its Redis, and what clients are told of it.
 */
import { parseRedisUrl, REDIS_URL_FORMS, type RedisAddress } from '../state/redis/url.ts'
import { type Flags, notEmpty, readDuration, readSize, readYesNo, SettingsError, type ValuesOf } from './flag.ts'

export interface CacheSettings {
  readonly memoryCacheBytes: number
  readonly redis: RedisAddress | null
  readonly redisPrefix: string
  readonly redisDeadlineMs: number
  readonly exposeCacheStatus: boolean
  readonly exposeCacheKey: boolean
}

export const CACHE_FLAGS = {
  'memory-cache': { value: 'SIZE', fallback: '64MiB', help: 'memory for cached responses', read: readSize },
  redis: {
    value: 'URL',
    fallback: '',
    help: 'shared cache: redis://, rediss://, redis+sentinel://, redis+cluster:// (docs/guides/cache.md)',
    read: readRedis,
  },
  'redis-prefix': {
    value: 'TEXT',
    fallback: 'banyan:',
    help: 'prefix of all keys in Redis',
    read: notEmpty,
    needs: 'redis',
  },
  'redis-deadline': {
    value: 'TIME',
    fallback: '20ms',
    help: 'timeout of Redis lookups; then the request continues without Redis',
    read: readDuration,
    needs: 'redis',
  },
  'expose-cache-status': {
    value: '',
    fallback: 'false',
    help: 'add Cache-Status (RFC 9211) to responses',
    read: readYesNo,
  },
  'expose-cache-key': {
    value: '',
    fallback: 'false',
    help: 'include the cache key in Cache-Status',
    read: readYesNo,
    needs: 'expose-cache-status',
  },
} as const satisfies Flags

export function cacheSettings(values: ValuesOf<typeof CACHE_FLAGS>): CacheSettings {
  return {
    memoryCacheBytes: values['memory-cache'],
    redis: values.redis,
    redisPrefix: values['redis-prefix'],
    redisDeadlineMs: values['redis-deadline'],
    exposeCacheStatus: values['expose-cache-status'],
    exposeCacheKey: values['expose-cache-key'],
  }
}

export function readRedis(text: string): RedisAddress | null {
  if (text === '') return null
  const address = parseRedisUrl(text)
  // The text may contain a password, so the message omits it.
  if (address === null) throw new SettingsError(`invalid Redis URL: expected ${REDIS_URL_FORMS}`)
  return address
}
