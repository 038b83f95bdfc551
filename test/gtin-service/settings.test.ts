/** The flags of banyan-gtin: times, and what is said of those that are too long. */
import { expect, test } from 'vitest'
import { readCommandLine } from '../../gtin-service/settings.ts'
import { nextRunMs, readSyncCommandLine } from '../../gtin-service/sync/main.ts'

const FROM = ['--from', 'http://127.0.0.1:4001']
const DAY_MS = 86_400_000

test('an age has no limit', () => {
  expect(readSyncCommandLine([...FROM, '--full-every', '30d']).fullEveryMs).toBe(30 * DAY_MS)
  expect(readCommandLine(['--stale-after', '90d']).staleAfterMs).toBe(90 * DAY_MS)
})

test('a time that is waited for has one, and is told so', () => {
  const { everyMs } = readSyncCommandLine([...FROM, '--every', '20d'])
  expect(nextRunMs(0, false, everyMs ?? 0, 1)).toBeLessThan(2 ** 31)
  expect(() => readSyncCommandLine([...FROM, '--every', '24d'])).toThrow('--every: expected 1s to 20d, got "24d"')
  expect(() => readSyncCommandLine([...FROM, '--every', '1ms'])).toThrow('--every: expected 1s to 20d, got "1ms"')
  expect(() => readCommandLine(['--drain-delay', '25d'])).toThrow('--drain-delay: expected at most 24d, got "25d"')
})

test('a time needs a known unit', () => {
  const said = '--stale-after: expected a time such as 250ms, 5s, 24h or 7d, got "3w"'
  expect(() => readCommandLine(['--stale-after', '3w'])).toThrow(said)
})
