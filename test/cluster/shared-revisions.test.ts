/**
 * Revisions as they lie in the Redis of a cluster, and what becomes of those that are damaged or missing there.
 */
import { afterAll, beforeEach, expect, test } from 'vitest'
import { SharedRevisions } from '../../src/control/cluster/shared-revisions.ts'
import type { Head } from '../../src/state/redis/cluster-log.ts'
import { openedLog } from '../support/cluster-log.ts'
import { startRedis } from '../support/redis.ts'

const redis = await startRedis()
afterAll(() => redis.stop())
beforeEach(() => redis.command('FLUSHALL'))

test.each([
  ['without a secret', [], '.damaged', 'it is damaged; where'],
  ['with one', ['a secret of the test'], '.damaged', 'give all instances the same one, or none'],
  ['with one', ['a secret of the test'], `${'0'.repeat(64)}.damaged`, 'the secret of the others; where'],
])('a newest revision that is damaged, %s, is said with what to do', async (_, secrets, sealed, said) => {
  const log = await openedLog(redis.url, ...secrets)
  await log.append(null, { id: 'shop', epoch: 1, number: 3, nonce: 'n' }, sealed)
  const head = (await log.head(null)) as Head
  const remedy = 'it stays damaged, redis-cli DEL "banyan:{shop}:table" has the members fill Redis again'
  const isDamage = said.endsWith('; where')
  expect(() => new SharedRevisions(log).opened(head)).toThrow(isDamage ? `${said} ${remedy}` : said)
})
