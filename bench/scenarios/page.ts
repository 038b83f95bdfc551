/**
 * The page: how soon a browser with nothing in its cache paints something of it, and has the routes in sight.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Browser, chromium } from 'playwright-core'
import { findProgram } from '../../scripts/need-tools.ts'
import { tableText } from '../contestants/banyan.ts'
import type { Bench } from '../harness/contest.ts'
import { spread } from '../harness/figures.ts'
import type { Row } from '../harness/report.ts'
import type { Scenario } from './scenario.ts'

const PROGRAM = fileURLToPath(new URL('../../bin/banyan.js', import.meta.url))
const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking']
const ROUTES = [10, 5000]
/** Times that it is opened in each round. */
const OPENED = 4
const FIRST_PAINT_MS = 200

/** Milliseconds from the navigation on. */
interface Seen {
  readonly paint: number
  readonly routes: number
}

export const page: Scenario = {
  name: 'page',
  about: 'the page of the admin listener in Chromium, from loopback, with an empty cache',
  standard: true,
  async run(bench) {
    const browser = await chromium.launch({ executablePath: onBothCores(bench), args: FLAGS })
    const rows: Row[] = []
    try {
      for (const routes of ROUTES) rows.push(await rowOf(bench, browser, routes))
    } finally {
      await browser.close()
    }
    const { name, about } = page
    return {
      scenario: name,
      about,
      columns: [
        { key: 'paint', title: 'first paint ms (low-high)', digits: 0, withRange: true },
        { key: 'routes', title: 'first route in sight ms (low-high)', digits: 0, withRange: true },
      ],
      rows,
      budgets: rows.flatMap(({ label, figures: { paint } }) =>
        paint === undefined
          ? []
          : { what: `first paint, ${label}`, limit: FIRST_PAINT_MS, unit: ' ms', digits: 0, found: paint },
      ),
      notes: ['The browser runs on both cores. The first time, in which the proxy prepares its files, is left out.'],
      failures: [],
    }
  },
}

/** A program that starts the browser on both cores: this process has stepped aside to one of them. */
function onBothCores({ stage }: Bench): string {
  const program = findProgram('chromium')
  if (program === null) throw new Error('chromium is missing: apt-get install chromium')
  const path = join(stage.newFolder('browser'), 'chromium')
  const { proxy, load } = stage.cores
  writeFileSync(path, `#!/bin/sh\nexec taskset -c ${proxy},${load} '${program}' "$@"\n`, { mode: 0o755 })
  return path
}

async function rowOf({ stage, options, progress }: Bench, browser: Browser, routes: number): Promise<Row> {
  const [port, admin] = [await stage.freePort(), await stage.freePort()]
  const table = join(stage.newFolder('page'), 'routes.yaml')
  // Nobody listens there: nothing is sent.
  writeFileSync(table, tableText(await stage.freePort(), routes))
  const running = await stage.start({
    name: 'banyan',
    core: 'proxy',
    command: [
      ...([process.execPath, PROGRAM, 'serve', '--table', table, '--workers', '0', '--access-log', 'none'] as const),
      ...['--listen', `127.0.0.1:${port}`, '--admin', `127.0.0.1:${admin}`],
    ],
    ready: { line: 'banyan ready' },
  })
  const seen: Seen[] = []
  for (let time = 0; time <= options.rounds * OPENED; time++) {
    progress(`${routes} routes: opened ${time} times`)
    const one = await openOnce(browser, `http://127.0.0.1:${admin}/`)
    if (time > 0) seen.push(one)
  }
  await running.stop()
  const over = (figure: keyof Seen): ReturnType<typeof spread> => spread(seen.map((one) => one[figure]))
  return { label: `${routes} routes`, figures: { paint: over('paint'), routes: over('routes') } }
}

/** Each time in a context of its own, which has nothing in its cache. */
async function openOnce(browser: Browser, url: string): Promise<Seen> {
  const context = await browser.newContext()
  try {
    const tab = await context.newPage()
    await tab.goto(url)
    await tab.getByRole('link', { name: 'gtin-lookup' }).waitFor()
    const routes = (await tab.evaluate('performance.now()')) as number
    const paint = (await tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")) as number
    return { paint, routes }
  } finally {
    await context.close()
  }
}
