/**
 * What the sync shows and how long it waits: back-off, schedule, progress; as cases and as properties.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextRunMs } from '../../gtin-service/sync/main.ts'
import { ProgressLine } from '../../gtin-service/sync/progress.ts'
import { waitMs } from '../../gtin-service/sync/reading.ts'

const chance = fc.double({ min: 0, max: 0.999999, noNaN: true })

test('waits grow, stay below half a minute, and are never before the server said', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 50 }), chance, fc.nat(300_000), (failures, draw, retryAfterMs) => {
      const ms = waitMs(failures, 500, retryAfterMs, draw)
      expect(ms).toBeGreaterThanOrEqual(retryAfterMs)
      expect(ms).toBeLessThanOrEqual(Math.max(retryAfterMs, Math.min(30_000, 500 * 2 ** (failures - 1))))
    }),
  )
  expect([1, 2, 3, 20].map((failures) => waitMs(failures, 500, 0, 0.5))).toEqual([250, 500, 1_000, 15_000])
})

test('runs are a tenth early or late, at once where there was none, and soon after a failure', () => {
  const DAY = 86_400_000
  fc.assert(
    fc.property(chance, fc.nat(2 * DAY), (draw, sinceMs) => {
      const ms = nextRunMs(sinceMs, false, DAY, draw)
      expect(ms).toBeGreaterThanOrEqual(0)
      if (ms > 0) expect(Math.abs(ms + sinceMs - DAY)).toBeLessThanOrEqual(DAY / 10 + 1)
      const soon = nextRunMs(sinceMs, true, DAY, draw)
      expect(soon).toBeGreaterThanOrEqual(300_000)
      expect(soon).toBeLessThanOrEqual(600_000)
    }),
  )
  expect(nextRunMs(null, false, DAY, 0.9)).toBe(0)
})

test('a terminal gets one line that is written again, a log a line every ten seconds', () => {
  let nowMs = 0
  const shown = (isTTY: boolean) => {
    const written: string[] = []
    nowMs = 0
    const line = new ProgressLine({ isTTY, write: (text) => written.push(text) }, () => nowMs)
    for (; nowMs <= 25_000; nowMs += 100) line.show(nowMs, 100_000)
    line.say('a warning')
    line.clear()
    return written
  }
  const log = shown(false)
  expect(log).toEqual(['sync: 10,000 records read, 10 %\n', 'sync: 20,000 records read, 20 %\n', 'a warning\n'])
  const terminal = shown(true)
  expect(terminal.length).toBeGreaterThan(100)
  expect(terminal.slice(0, -2).every((text) => text.startsWith('\r\u001b[K') && !text.includes('\n'))).toBe(true)
  expect(terminal.slice(-2)).toEqual(['\r\u001b[K', 'a warning\n'])
})
