/**
 * The cache's store in a real Redis, without a proxy.
 */
import { onTestFinished } from 'vitest'
import { RedisStore, type RedisStoreSettings } from '../../src/state/redis/store.ts'
import { parseRedisUrl, type RedisAddress } from '../../src/state/redis/url.ts'

/** A store that ends with the test, and may not be connected yet. */
export function storeAt(url: string, settings: Partial<RedisStoreSettings> = {}): RedisStore {
  const store = new RedisStore({
    address: parseRedisUrl(url) as RedisAddress,
    prefix: 'banyan:',
    deadlineMs: 500,
    chance: Math.random,
    now: () => performance.now(),
    onUnreadable: () => {},
    onFull: () => {},
    onState: () => {},
    ...settings,
  })
  onTestFinished(() => store.close())
  return store
}
