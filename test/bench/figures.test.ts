/**
 * The arithmetic of the benchmark: medians, ratios, quantiles, budgets, self times.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { quantile, ratio, spread, upperPercent } from '../../bench/harness/figures.ts'
import { readH2load } from '../../bench/harness/h2load.ts'
import { readOptions } from '../../bench/harness/options.ts'
import { type CpuProfile, selfTimes } from '../../bench/harness/profile.ts'
import { type Budget, isMet, printReport, type Report, reportsAsJson } from '../../bench/harness/report.ts'
import { readSummary } from '../../bench/harness/wrk.ts'

const values = fc.array(fc.double({ min: 0.001, max: 1e9, noNaN: true }), { minLength: 1 })

describe('spread', () => {
  test('as many values lie below the median as above it', () => {
    fc.assert(
      fc.property(values, (all) => {
        const { median, low, high } = spread(all)
        const below = all.filter((value) => value < median).length
        const above = all.filter((value) => value > median).length
        expect(Math.max(below, above)).toBeLessThanOrEqual(all.length / 2)
        expect([low, high]).toEqual([Math.min(...all), Math.max(...all)])
      }),
    )
  })

  test('of an even number it is the mean of the middle two', () => {
    expect(spread([4, 1, 3, 2]).median).toBe(2.5)
  })

  test('of nothing there is none', () => {
    expect(() => spread([])).toThrow(RangeError)
  })
})

test('a ratio is taken round by round, so a slow round cancels out', () => {
  expect(ratio([20, 200, 30], [10, 100, 15])).toEqual({ median: 2, low: 2, high: 2 })
})

test('the 99th percentile of 1 to 100 is 99', () => {
  const ascending = Array.from({ length: 100 }, (_, i) => i + 1)
  expect(quantile(ascending, 0.99)).toBe(99)
  expect(quantile(ascending, 0.5)).toBe(50)
  expect(quantile([7], 0.99)).toBe(7)
})

test('none of 300 leaves 1 % possible, one of 300 more', () => {
  expect(upperPercent(0, 300, 95)).toBeCloseTo((1 - 0.05 ** (1 / 300)) * 100)
  expect(upperPercent(1, 300, 95)).toBeCloseTo(1.57, 2)
  expect(upperPercent(3, 3, 95)).toBe(100)
})

describe('report', () => {
  const budget = (median: number): Budget => {
    return { what: 'CPU: banyan / nginx', limit: 2, unit: ' x', digits: 2, found: spread([median]) }
  }
  const report = (changes: Partial<Report>): Report => {
    return { scenario: 'get', about: 'GET', columns: [], rows: [], budgets: [], notes: [], failures: [], ...changes }
  }

  test('a budget is held up to its limit', () => {
    expect([1.99, 2, 2.01].map((found) => isMet(budget(found)))).toEqual([true, true, false])
  })

  test('prints the verdict beside the budget', () => {
    expect(printReport(report({ budgets: [budget(1.5)] }))).toMatch(/1\.50 .* <= 2 x \| +met/)
    expect(printReport(report({ budgets: [budget(3)] }))).toMatch(/3\.00 .* <= 2 x \| +MISSED/)
  })

  test('prints a figure that was not measured as a dash, and every failure', () => {
    const columns = [{ key: 'cpu', title: 'CPU us', digits: 1 }]
    const rows = [{ label: 'direct', figures: {} }]
    const text = printReport(report({ columns, rows, failures: ['nginx: 3 status errors in a run'] }))
    expect(text).toMatch(/\| direct \| +- \|/)
    expect(text).toContain('FAILED: nginx: 3 status errors in a run')
  })

  test('says for machines which budgets are met', () => {
    const json = JSON.parse(reportsAsJson([report({ budgets: [budget(3)] })], { cpu: 'x' }))
    expect(json.scenarios[0].budgets[0]).toMatchObject({ met: false, limit: 2, found: { median: 3 } })
  })
})

describe('wrk', () => {
  const line = (errors: object): string =>
    `Running 1s test\n{"requests":1000,"micros":500000,"bytes":1,"p50":120,"p99":900,${JSON.stringify(errors).slice(1)}\n`

  test('a clean run has no errors', () => {
    expect(readSummary(line({ connect: 0, read: 0, write: 0, status: 0, timeout: 0 }))).toEqual({
      units: 1000,
      perSecond: 2000,
      p50Micros: 120,
      p99Micros: 900,
      errors: {},
    })
  })

  test('errors are kept by kind', () => {
    expect(readSummary(line({ read: 2, status: 7, timeout: 0 })).errors).toEqual({ read: 2, status: 7 })
  })

  test('a run without a summary is an error', () => {
    expect(() => readSummary('unable to connect')).toThrow(/no summary: unable to connect/)
  })
})

describe('the summary of h2load', () => {
  const summary = (counts: string, protocol = 'h2'): string =>
    `Application protocol: ${protocol}\n\nfinished in 2.00s, 2.50 req/s, 181.34KB/s\nrequests: 5 total, 9 started, ${counts}\n`
  const log = [300, 100, 200, 500, 400].map((micros, i) => `${1796034825428070 + i}\t200\t${micros}\n`).join('')

  test('is read with the times of its log', () => {
    const printed = summary('5 done, 5 succeeded, 0 failed, 0 errored, 0 timeout')
    expect(readH2load(printed, log)).toEqual({
      units: 5,
      perSecond: 2.5,
      p50Micros: 300,
      p99Micros: 500,
      errors: {},
    })
  })

  test('errors are kept by kind, and another protocol is one', () => {
    const printed = summary('5 done, 2 succeeded, 3 failed, 1 errored, 0 timeout', 'http/1.1')
    expect(readH2load(printed, log).errors).toEqual({ status: 2, read: 1, protocol: 1 })
  })

  test('a run without a summary is an error', () => {
    expect(() => readH2load('unable to connect', '')).toThrow(/no summary: unable to connect/)
  })
})

test('self time goes to the function on top of the stack until the next sample, idle time to none', () => {
  const node = (id: number, functionName: string, url: string): CpuProfile['nodes'][number] => {
    return { id, callFrame: { functionName, url, lineNumber: 9 } }
  }
  const profile = {
    nodes: [
      node(1, '(idle)', ''),
      node(2, 'forward', 'file:///x/src/proxy/upstream/forward.ts'),
      node(3, '', 'node:net'),
    ],
    samples: [2, 1, 2, 3],
    timeDeltas: [500, 100, 1000, 20, 7],
  }
  expect(selfTimes(profile).functions).toEqual([
    { place: 'forward src/proxy/upstream/forward.ts:10', micros: 120 },
    { place: '(anonymous) node:net:10', micros: 7 },
  ])
  expect(selfTimes(profile).files[0]).toEqual({ place: 'src/proxy/upstream/forward.ts', micros: 120 })
})

describe('options', () => {
  test('without arguments: all scenarios, five rounds', () => {
    expect(readOptions([])).toMatchObject({ scenarios: [], rounds: 5, only: null, json: false })
  })

  test('names, numbers and lists', () => {
    const options = readOptions(['get', 'log', '--rounds', '3', '--only', 'banyan,nginx', '--json'])
    expect(options).toMatchObject({ scenarios: ['get', 'log'], rounds: 3, json: true })
    expect([...(options.only ?? [])]).toEqual(['banyan', 'nginx'])
  })

  test.each([['--rounds', '0'], ['--rounds', '1.5'], ['--seconds', 'x'], ['--nosuch']])(
    '%s %s is refused',
    (...args) => {
      expect(() => readOptions(args)).toThrow()
    },
  )
})
