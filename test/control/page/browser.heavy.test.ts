/**
 * The page in a real browser, against a real proxy with traffic.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Progress } from '../../../src/control/figures/progress.ts'
import { Measurements } from '../../../src/state/figures/measurements.ts'
import { FolderStore } from '../../../src/state/store/folder-store.ts'
import { type Banyan, startBanyan, tableFor } from '../../support/banyan.ts'
import { launchBrowser } from '../../support/browser.ts'
import { startRedis } from '../../support/redis.ts'
import { scriptedUpstream } from '../../support/upstream.ts'

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const TOKEN = 'the-secret-of-the-page'
/** Of what waits for something on the page. A machine with neighbours may take long. */
const PATIENCE = { timeout: 120_000 }

const TELEPHONE = { width: 390, height: 844 }
/** Where a picture of the page goes, for the README: docs/page.png (`npm run picture`). */
const PICTURE = process.env.BANYAN_PICTURE
const SCREEN = { width: 1280, height: 776 }
const MARKUP = '<img src=x onerror=alert(1)>'

/** Copies get other values, with markup in them. */
const upstream = await scriptedUpstream((asked) => {
  const price = /^banyan-shadow:/im.test(asked.head) ? MARKUP : `${MARKUP}!`
  const body = JSON.stringify({ price, [MARKUP]: price })
  const type = 'Content-Type: application/json'
  asked.send(`HTTP/1.1 200 OK\r\n${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
})
let browser: Browser
beforeAll(async () => {
  browser = await launchBrowser()
})
afterAll(async () => {
  await browser.close()
  await upstream.stop()
})

const ROUTES = `routes:
  - { id: lookup, match: { path: '/lookup/:n' }, to: new, percent: 10, sticky: [cookie:sid], cache: {} }
  - { id: list, match: { path: /list }, to: new, percent: 0, ramp: { steps: [10, 100], hold: 1h } }
`

function tableWith(routes: string): string {
  const both = `  new:\n    servers: [http://127.0.0.1:${upstream.port}]\ndefault:`
  return tableFor(upstream.port).replace('default:', both) + routes
}

async function started(routes = ROUTES, args: readonly string[] = []): Promise<Banyan> {
  const banyan = await startBanyan({ table: tableWith(routes), args })
  onTestFinished(async () => void (await banyan.stop()))
  return banyan
}

/** Opens the page. Whatever a script throws, or the browser refuses by the page's policy, fails the test. */
async function opened({ adminPort }: Banyan, place = '/', options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  const faults: string[] = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    // What the browser tells of answers of 4xx is what the test is about.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) faults.push(message.text())
  })
  onTestFinished(async () => {
    await context.close()
    expect(faults).toEqual([])
  })
  await page.goto(`http://127.0.0.1:${adminPort}/#${place}`)
  return page
}

/** Goes to a view, and waits until it has what it shows. */
async function goes(page: Page, place: string): Promise<void> {
  await page.goto(page.url().replace(/#.*/, `#${place}`))
  await page.locator('#main h1').waitFor(PATIENCE)
  const loading = page.getByText('Loading…').first()
  await loading.waitFor({ ...PATIENCE, state: 'detached' })
}

async function asks({ port }: Banyan, path: string, count: number): Promise<void> {
  for (let n = 0; n < count; n++) await fetch(`http://127.0.0.1:${port}${path}`, { headers: { Cookie: `sid=${n}` } })
}

test('the overview shows what the API says, as it moves', async () => {
  const banyan = await started()
  const page = await opened(banyan)
  const row = page.getByRole('row').filter({ hasText: '/lookup/:n' })
  await row.getByText('10 %').waitFor(PATIENCE)
  await asks(banyan, '/lookup/1', 20)
  await row.locator('.share .seen').waitFor({ ...PATIENCE, state: 'attached' })
  await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/lookup`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json' },
    body: '{"percent": 35}',
  })
  await row.getByText('35 %').waitFor(PATIENCE)
  // Nobody sees the tab: the connection is let go, since the browser has six of them for all its tabs.
  const see = (isHidden: boolean) =>
    page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${isHidden}, configurable: true });
      document.dispatchEvent(new Event('visibilitychange'))`)
  const left = page.waitForEvent('requestfailed', { ...PATIENCE, predicate: (one) => one.url().endsWith('/live') })
  await see(true)
  await left
  await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/lookup`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json' },
    body: '{"percent": 99.9999}',
  })
  await see(false)
  // To its last digit: it is not 100.
  await row.getByText('99.9999 %').waitFor(PATIENCE)
  await asks(banyan, '/elsewhere', 3)
  await page.goto(page.url().replace(/#.*/, '#/endpoints'))
  await page.getByText('GET /elsewhere').waitFor(PATIENCE)
})

const DAY_MS = 86_400_000
const WEEKS = 10

/** A state folder in which a migration has gone on for weeks, for a table in `routes.yaml`. */
async function weeksOfProgress(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'banyan-page-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  mkdirSync(join(folder, 'routes.yaml'))
  const store = new FolderStore(join(folder, 'routes.yaml'), () => null)
  let [nowMs, moved] = [0, 0]
  const count = () => ({
    moved: Math.floor(moved / 20),
    moving: 2,
    waiting: 3,
    ended: 0,
    unclaimed: 9 - Math.floor(moved / 20),
  })
  const progress = new Progress(count, () => nowMs)
  progress.keepIn(store)
  for (let week = WEEKS; week > 0; week--) {
    nowMs = Date.now() - week * 7 * DAY_MS
    moved = 7 * (WEEKS - week)
    const measurements = new Measurements()
    for (let n = 0; n < 100; n++) {
      const side = n < moved ? 'to' : 'from'
      const decision = {
        routeId: 'prices',
        upstream: side,
        reason: side === 'to' ? 'percent' : 'rest',
        bucket: null,
        percent: 0,
        sticky: null,
      } as const
      measurements.count({
        decision,
        side,
        status: 200,
        cache: '-',
        failure: null,
        durationMs: 1,
        retries: 0,
        fallbackOn: null,
      })
    }
    progress.add(measurements.take(), [])
    await progress.save()
  }
  await store.close()
  return folder
}

const MIGRATION = [
  'routes:',
  '  - { id: gtin-lookup, match: { path: /stores/:storeId/gtins/:gtin, methods: [GET, HEAD] }, to: new, percent: 100, cache: { ttl: 60s } }',
  '  - { id: prices, match: { path: /stores/:storeId/prices }, to: new, percent: 60, sticky: [cookie:sid] }',
  '  - { id: opening-hours, match: { path: /stores/:storeId/hours }, to: new, percent: 25, sticky: [cookie:sid] }',
  '  - { id: search, match: { path: /search }, to: new, sticky: [cookie:sid], ramp: { steps: [5, 25, 100], hold: 1h } }',
  '  - { id: orders, match: { path: /orders, methods: [POST] }, to: new, percent: 0 }',
  '',
].join('\n')

test('a migration on a screen and on a telephone: its weeks, its routes, and no row is higher than its place', async () => {
  const args = ['--state', await weeksOfProgress()]
  const banyan = await startBanyan({ table: tableWith(MIGRATION).replaceAll('main', 'legacy'), args })
  onTestFinished(async () => void (await banyan.stop()))
  await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/search/ramp/start`, { method: 'POST' })
  for (const path of ['/stores/3/gtins/1', '/stores/3/prices', '/stores/3/hours', '/search'])
    await asks(banyan, path, 40)
  await asks(banyan, '/login', 20)
  for (const viewport of [SCREEN, TELEPHONE]) {
    const page = await opened(banyan, '/', { viewport })
    const rows = page.locator('.routes .route')
    await rows
      .filter({ hasText: 'search' })
      .locator('.share .seen')
      .waitFor({ ...PATIENCE, state: 'attached' })
    await rows.filter({ hasText: 'search' }).getByText('running at 5 %').waitFor(PATIENCE)
    const excess = await rows.evaluateAll((all) => all.map((row) => row.scrollHeight - row.clientHeight))
    expect(excess).toEqual(Array(6).fill(0))
    // Of each week what the old application had, and what it has now.
    await page.getByRole('img', { name: /^Requests on the old application since .*: from 100 % to / }).waitFor(PATIENCE)
    const line = (await page.locator('.weeks .requests').first().getAttribute('points')) as string
    expect(line.split(' ').length).toBeGreaterThanOrEqual(WEEKS)
    const picture = await page.screenshot()
    expect([picture.readUInt32BE(16), picture.readUInt32BE(20)]).toEqual([viewport.width, viewport.height])
    if (PICTURE !== undefined && viewport === SCREEN) writeFileSync(PICTURE, picture)
    await page.goto(page.url().replace(/#.*/, '#/progress'))
    await page.getByRole('region', { name: 'History' }).getByText('63 %').waitFor(PATIENCE)
    await page.getByRole('img', { name: 'Share that the old application has' }).locator('canvas').waitFor(PATIENCE)
    await page.getByRole('region', { name: 'Next' }).getByText('banyan shadow start orders').waitFor(PATIENCE)
    await page.getByRole('region', { name: 'Retirement' }).getByText('legacy is still needed').waitFor(PATIENCE)
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBe(0)
  }
  // The one in README was made by this test.
  const shown = readFileSync(join(import.meta.dirname, '../../../docs/page.png'))
  expect([shown.readUInt32BE(16), shown.readUInt32BE(20)]).toEqual([SCREEN.width, SCREEN.height])
})

test('the instances of a cluster: which revision each has, and who runs the ramps', async () => {
  const redis = await startRedis()
  onTestFinished(() => redis.stop())
  const args = ['--cluster', 'shop', '--cluster-redis', redis.url]
  const [one, other] = await Promise.all([started(ROUTES, args), started(ROUTES, args)])
  const page = await opened(one, '/instances')
  const rows = page.getByRole('region', { name: 'Instances' }).locator('tbody tr')
  await expect.poll(() => rows.count()).toBe(2)
  await expect.poll(() => rows.filter({ hasText: 'in step' }).count()).toBe(2)
  await rows
    .filter({ hasText: 'this one' })
    .filter({ hasText: `pid ${one.pid}` })
    .waitFor(PATIENCE)
  await rows.filter({ hasText: 'runs the ramps' }).waitFor(PATIENCE)
  await other.stop()
  await expect.poll(() => rows.count()).toBe(1)
})

test('the curves of a route have what was before the page was opened, and go on from there', async () => {
  const banyan = await started()
  await asks(banyan, '/lookup/1', 20)
  const page = await opened(banyan, '/')
  // A step of hours ago before those of the API.
  const earlier = {
    at: new Date(Date.now() - 7_200_000).toISOString(),
    sides: { main: { exchanges: 9, errorRatio: 0.5, p95Ms: 8 } },
  }
  let own: { sides: object }[] = []
  await page.route('**/routes/lookup/history', async (route) => {
    const answer = await (await route.fetch()).json()
    own = answer.steps
    await route.fulfill({ json: { ...answer, steps: [earlier, ...own] } })
  })
  // Its clock is two hours ahead.
  await page.evaluate('{ const now = Date.now; Date.now = () => now() + 7_200_000 }')
  await page.goto(page.url().replace(/#.*/, '#/routes/lookup'))
  const sides = page.getByRole('region', { name: 'Sides' })
  const span = async (): Promise<string> =>
    (await sides.getByRole('img').first().getAttribute('aria-label', PATIENCE)) as string
  await sides.getByLabel('Curves of the last').selectOption('6 hours', PATIENCE)
  await expect.poll(span).toMatch(/^Errors, from .+ to /)
  expect([...new Set(own.flatMap((step) => Object.keys(step.sides)))].toSorted()).toEqual(['main', 'new'])
  const drawn = await span()
  await asks(banyan, '/lookup/1', 3)
  await expect.poll(span).not.toBe(drawn)
  // The time that it begins with stays.
  expect((await span()).split(' to ')[0]).toBe(drawn.split(' to ')[0])
  await sides.getByLabel('Curves of the last').selectOption('15 minutes')
  await expect.poll(span).not.toContain(drawn.split(' to ')[0])
  await page.unrouteAll({ behavior: 'ignoreErrors' })
})

test('a click is not lost to what comes in between, nor is the focus', async () => {
  const banyan = await started()
  const change = (percent: number) =>
    fetch(`http://127.0.0.1:${banyan.adminPort}/routes/lookup`, {
      method: 'PATCH',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ percent }),
    })
  await change(20)
  const page = await opened(banyan, '/revisions')
  const heard = () => page.evaluate("import('/page/live.js').then(({ live }) => live.revision)")
  await page.getByRole('button', { name: 'Show 2' }).focus(PATIENCE)
  await page.keyboard.press('Enter')
  const revert = page.getByRole('button', { name: 'Revert' })
  await revert.hover(PATIENCE)
  await page.mouse.down()
  await change(30)
  await expect.poll(heard).toBe(3)
  // The list could have been read anew by now, and its first row is another one.
  expect(await page.getByRole('button', { name: 'Show 3' }).count()).toBe(0)
  await page.mouse.up()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('Revert revision 2').waitFor(PATIENCE)
  await page.keyboard.press('Escape')
  await dialog.waitFor({ ...PATIENCE, state: 'detached' })

  await page.getByRole('button', { name: 'Show 3' }).waitFor(PATIENCE)
  await page.getByRole('button', { name: 'Show 2' }).focus()
  await change(40)
  await page.getByRole('button', { name: 'Show 4' }).waitFor(PATIENCE)
  expect(await page.evaluate('document.activeElement.textContent')).toBe('Show 2')
})

test('a percent that is moved on the page is in routes.yaml, with its reason in the history', async () => {
  const banyan = await started(ROUTES, ['--require-if-match'])
  const page = await opened(banyan, '/routes/lookup')
  await page.getByRole('button', { name: '25 %' }).click(PATIENCE)
  const dialog = page.getByRole('dialog')
  await dialog.getByText('+  - { id: lookup').waitFor(PATIENCE)
  await dialog.getByLabel('Reason').fill('no errors, größer')
  // Somebody else is quicker: what this edit would change now has to be seen first.
  await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/list`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json', 'If-Match': '*' },
    body: '{"percent": 7}',
  })
  await dialog.getByRole('button', { name: 'Set 25 %' }).click()
  await dialog.getByRole('alert').filter({ hasText: 'The table has changed meanwhile' }).waitFor(PATIENCE)
  expect(readFileSync(banyan.tableFile, 'utf8')).not.toContain('percent: 25')
  await dialog.getByRole('button', { name: 'Set 25 %' }).click()
  await page.getByText('25 % asked for').first().waitFor(PATIENCE)
  expect(readFileSync(banyan.tableFile, 'utf8')).toContain('percent: 25')
  const history = page.getByRole('region', { name: 'History' })
  await history.getByText('percent 10 → 25').waitFor(PATIENCE)
  await history.getByText('no errors, größer').waitFor(PATIENCE)

  await history.getByRole('button', { name: 'Show 3' }).click()
  await history.getByRole('button', { name: 'Revert' }).click(PATIENCE)
  await dialog.getByLabel('Reason').fill('a mistake')
  await dialog.getByRole('button', { name: 'Revert' }).click()
  await page.getByText('10 % asked for').first().waitFor(PATIENCE)
  expect(readFileSync(banyan.tableFile, 'utf8')).toContain('percent: 10')
})

test('each act does what its button says, with the reason that was given, and what is shown is what the API says then', async () => {
  const routes = ROUTES.replace('hold: 1h', 'hold: 1h, approve: [10]')
  const banyan = await started(routes)
  await asks(banyan, '/elsewhere', 2)
  await asks(banyan, '/list', 4)
  const page = await opened(banyan)
  const dialog = page.getByRole('dialog')
  const act = async (place: string, button: string, verb: string, preview?: string): Promise<void> => {
    await page.goto(page.url().replace(/#.*/, `#${place}`))
    await page.getByRole('button', { name: button }).first().click(PATIENCE)
    if (preview !== undefined) await dialog.getByText(preview).first().waitFor(PATIENCE)
    // Nothing is done without a reason, and blanks are none.
    await dialog.getByLabel('Reason').fill('  ')
    await dialog.getByRole('button', { name: verb, exact: true }).click()
    expect(await dialog.getByLabel('Reason').evaluate((field) => field.matches(':invalid'))).toBe(true)
    await dialog.getByLabel('Reason').fill(`because of ${verb}`)
    await dialog.getByRole('button', { name: verb, exact: true }).click()
    await dialog.waitFor({ ...PATIENCE, state: 'detached' })
  }
  // biome-ignore lint/suspicious/noExplicitAny: answers of every shape
  const ask = async (path: string): Promise<any> => (await fetch(`http://127.0.0.1:${banyan.adminPort}${path}`)).json()
  const ramp = page.getByRole('region', { name: 'Ramp' })
  const isRamp = async (status: string): Promise<void> => {
    // An approved step is taken with the next look of the ramp.
    await expect.poll(async () => (await ask('/routes/list/ramp')).status).toBe(status)
    await ramp.locator('strong', { hasText: status }).waitFor(PATIENCE)
  }
  await act('/routes/list', 'Start', 'Start', '+  - { id: list, match: { path: /list }, to: new, percent: 10')
  await isRamp('waiting')
  await act('/routes/list', 'Approve', 'Approve', '+  - { id: list, match: { path: /list }, to: new, percent: 10')
  await isRamp('running')
  await ramp.locator('[aria-current=step]', { hasText: '10 %' }).waitFor(PATIENCE)
  await act('/routes/list', 'Pause', 'Pause')
  await isRamp('paused')
  await act('/routes/list', 'Resume', 'Resume')
  await isRamp('running')
  await act('/routes/list', 'Step', 'Step', 'percent: 100')
  await expect.poll(async () => (await ask('/routes/list')).percent).toBe(100)
  await act('/routes/list', 'Abort', 'Abort', 'percent: 0')
  await isRamp('aborted')
  for (const verb of ['Start', 'Approve', 'Pause', 'Resume', 'Step', 'Abort'])
    await ramp
      .getByRole('listitem')
      .filter({ hasText: `: because of ${verb}` })
      .first()
      .waitFor(PATIENCE)
  expect((await ask('/routes/list')).percent).toBe(0)
  await page.getByText('0 % asked for').first().waitFor(PATIENCE)

  const server = `127.0.0.1:${upstream.port}`
  const isServer = async (state: string): Promise<void> => {
    const [{ live }] = (await ask('/upstreams')).upstreams
    expect(live.servers[0].state).toBe(state)
    await page.getByRole('region', { name: 'main' }).getByRole('cell', { name: state, exact: true }).waitFor(PATIENCE)
  }
  await act('/servers', `Drain… ${server}`, 'Drain', 'No other server of main takes requests')
  await isServer('drained')
  await expect.poll(() => banyan.log.join()).toMatch(/"event":"admin-fleet".*because of Drain/)
  await act('/servers', `Undrain… ${server}`, 'Undrain')
  await isServer('up')

  const purges: Readonly<Record<string, string>> = {
    url: '/lookup/2',
    prefix: 'https://a.test/lookup',
    tag: 'prices',
    upstream: 'new',
    route: 'lookup',
  }
  await act('/routes/lookup', 'Purge cache', 'Purge')
  await page.getByText('Purged: 0 in memory.').waitFor(PATIENCE)
  for (const [kind, value] of Object.entries(purges)) {
    await page.goto(page.url().replace(/#.*/, '#/cache'))
    await page.getByLabel('By').selectOption(kind, PATIENCE)
    await page.getByLabel('Value').fill(value)
    await act('/cache', 'Purge…', 'Purge', `Purge ${kind} ${value}`)
  }
  await act('/cache', 'Everything', 'Purge')
  const purged = (): string[] => banyan.log.filter((line) => line.includes('"event":"cache-purge"'))
  await expect.poll(() => purged().length).toBe(7)
  const said = purged().map((line) => JSON.parse(line))
  expect(said.map(({ what }) => what)).toEqual(['route', ...Object.keys(purges), 'everything'])
  for (const { what, reason, ...rest } of said) {
    expect(reason).toBe('because of Purge')
    if (what !== 'everything') expect(rest[what === 'prefix' ? 'url' : what]).toBe(purges[what])
  }
  const { memory } = await ask('/cache')
  await page.getByText(`${memory.entries} responses`).waitFor(PATIENCE)

  await act('/endpoints', 'Add route', 'Add the route', '+  - ')
  expect(await ask('/routes/elsewhere')).toMatchObject({ percent: 0, to: 'new', match: { path: '/elsewhere' } })
  await page.goto(page.url().replace(/#.*/, '#/revisions'))
  await page.getByRole('button', { name: 'Show 1', exact: true }).click(PATIENCE)
  await page.getByRole('button', { name: 'Restore' }).click(PATIENCE)
  await dialog.getByText('-  - { id: elsewhere').or(dialog.getByText('elsewhere')).first().waitFor(PATIENCE)
  await dialog.getByLabel('Reason').fill('back to the first')
  await dialog.getByRole('button', { name: 'Restore' }).click()
  await expect.poll(() => readFileSync(banyan.tableFile, 'utf8')).toBe(tableWith(routes))
  // Its record follows the file.
  const reasons = async (): Promise<string[]> =>
    (await ask('/revisions')).revisions.slice(0, 2).map(({ reason }: { reason: string }) => reason)
  await expect.poll(reasons).toEqual([expect.stringContaining('back to the first'), 'because of Add the route'])
})

test('what the API refuses is told in the dialog, and nothing is lost', async () => {
  const banyan = await started()
  const page = await opened(banyan, '/routes/list')
  await page.getByRole('region', { name: 'Ramp' }).getByRole('button', { name: 'Start' }).click(PATIENCE)
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Reason').fill('begin')
  await fetch(`http://127.0.0.1:${banyan.adminPort}/routes/list`, { method: 'DELETE' })
  await dialog.getByRole('button', { name: 'Start' }).click()
  await dialog.getByRole('alert').filter({ hasText: 'Unknown route' }).waitFor(PATIENCE)
  expect(await dialog.getByLabel('Reason').inputValue()).toBe('begin')
})

test('a token is asked for, kept for the tab, and in no URL', async () => {
  const banyan = await started(ROUTES, ['--admin-tokens', `page:read:${TOKEN}`])
  const page = await opened(banyan)
  const urls: string[] = []
  page.on('request', (request) => urls.push(request.url()))
  await page.getByLabel('Token').fill('a-wrong-token-of-the-page', PATIENCE)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').filter({ hasText: 'Invalid token' }).waitFor(PATIENCE)
  for (let n = 0; n < 5; n++) {
    const headers = { Authorization: 'Bearer another-wrong-token' }
    await fetch(`http://127.0.0.1:${banyan.adminPort}/routes`, { headers })
  }
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('alert').filter({ hasText: 'Try again in' }).waitFor(PATIENCE)
  await page.getByLabel('Token').fill('a token that no header carries: ☂')
  expect(await page.getByLabel('Token').evaluate((field) => field.matches(':invalid'))).toBe(true)
  await page.getByLabel('Token').fill(TOKEN)
  await page.getByRole('button', { name: 'Sign in' }).click()
  await page.getByRole('link', { name: 'lookup' }).waitFor(PATIENCE)
  await page.reload()
  await page.getByRole('link', { name: 'lookup' }).click(PATIENCE)
  // A read-only token moves nothing.
  await page.getByRole('button', { name: '50 %' }).click(PATIENCE)
  await page.getByRole('dialog').getByRole('alert').filter({ hasText: 'read-only' }).waitFor(PATIENCE)
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
  await page.getByRole('button', { name: 'Sign out' }).click()
  await page.getByLabel('Token').waitFor(PATIENCE)
  expect(urls.filter((url) => url.includes(TOKEN))).toEqual([])
  expect(await page.context().cookies()).toEqual([])
})

test('markup in paths, user agents, reasons and authors is text', async () => {
  const routes =
    'routes:\n  - { id: odd, match: { path: /odd }, to: new, percent: 5, sticky: [cookie:sid], shadow: { percent: 100, samples: values } }\n'
  const banyan = await started(routes)
  const admin = `http://127.0.0.1:${banyan.adminPort}`
  await fetch(`${admin}/routes/odd`, {
    method: 'PATCH',
    headers: { 'Content-Type': 'application/json', 'Banyan-Reason': MARKUP },
    body: '{"percent": 6}',
  })
  await fetch(`http://127.0.0.1:${banyan.port}/found/%3Cimg%20src=x%3E`, { headers: { 'User-Agent': MARKUP } })
  await fetch(`http://127.0.0.1:${banyan.port}/odd?q=${encodeURIComponent(MARKUP)}`, {
    headers: { 'User-Agent': MARKUP },
  })
  const page = await opened(banyan)
  page.on('dialog', () => expect.unreachable('a script of the data ran'))
  for (const place of [
    '/',
    '/routes/odd',
    '/endpoints',
    '/servers',
    '/cache',
    '/progress',
    '/instances',
    `/${MARKUP}`,
    `/routes/${MARKUP}`,
    '/%',
    '/revisions',
  ]) {
    await goes(page, place)
    expect(await page.locator('img:not(.logo img)').count()).toBe(0)
  }
  await page.getByText(MARKUP).waitFor(PATIENCE)
  await page.goto(page.url().replace(/#.*/, '#/routes/odd'))
  const compared = page.getByRole('region', { name: 'Comparisons' })
  await compared.getByRole('button', { name: 'Example of /price' }).click(PATIENCE)
  await compared.getByText(`"${MARKUP}!"`).first().waitFor(PATIENCE)
  const explain = page.getByRole('region', { name: 'Explain' })
  await explain.getByLabel('Headers').fill(MARKUP)
  await explain.getByRole('button', { name: 'Explain' }).click()
  await explain.getByText(`${MARKUP} is no header`).waitFor(PATIENCE)
  await explain.getByLabel('Headers').fill(`X-Odd: ${MARKUP}`)
  await explain.getByRole('button', { name: 'Explain' }).click()
  await explain.getByText('header fields').click(PATIENCE)
  await explain.getByText(`X-Odd: ${MARKUP}`).waitFor(PATIENCE)
  await explain.getByText('no-key: it has no key').waitFor(PATIENCE)
  expect(await page.locator('img:not(.logo img)').count()).toBe(0)
})

test('a field that differs is told with both sides, and ignored from then on', async () => {
  const banyan = await started(ROUTES.replace('percent: 10', 'percent: 10, shadow: { percent: 100 }'))
  await asks(banyan, '/lookup/7', 3)
  const page = await opened(banyan, '/routes/lookup')
  const compared = page.getByRole('region', { name: 'Comparisons' })
  await compared.getByText('string, 29 characters').first().waitFor(PATIENCE)
  await compared.getByRole('button', { name: 'Ignore… /price' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('+').first().waitFor(PATIENCE)
  await dialog.getByLabel('Reason').fill('the price of the test')
  await dialog.getByRole('button', { name: 'Ignore' }).click()
  await page.getByRole('region', { name: 'History' }).getByText('the price of the test').waitFor(PATIENCE)
  expect(readFileSync(banyan.tableFile, 'utf8')).toMatch(/ignore: *\[ *\/price/)
  await compared.getByRole('button', { name: 'Stop' }).click()
  await dialog.getByRole('button', { name: 'Cancel' }).click()
})

test('five thousand routes: only those in sight are drawn, and one is found', async () => {
  const routes = Array.from({ length: 5000 }, (_, n) => `  - { id: r${n}, match: { path: /p${n} }, to: new }\n`).join(
    '',
  )
  const banyan = await started(`routes:\n${routes}`)
  const page = await opened(banyan)
  await page.getByRole('link', { name: 'r0', exact: true }).waitFor(PATIENCE)
  expect(await page.getByRole('row').count()).toBeLessThan(150)
  await page.evaluate('scrollTo(0, document.body.scrollHeight)')
  await page.getByRole('link', { name: 'r4999', exact: true }).waitFor(PATIENCE)
  expect(await page.getByRole('row').count()).toBeLessThan(150)
  await page.getByLabel('Filter').fill('r2345')
  await page.getByRole('link', { name: 'r2345', exact: true }).waitFor(PATIENCE)
  expect(await page.getByRole('row').count()).toBe(3)
  await page.goto(page.url().replace(/#.*/, '#/progress'))
  await page.getByRole('region', { name: 'Next' }).getByText('banyan shadow start r0').waitFor(PATIENCE)
  expect(await page.locator('tr').count()).toBeLessThan(150)
})

test('a proxy that goes away is missed, and seen again when it is back', async () => {
  const banyan = await started()
  const page = await opened(banyan)
  await page.getByRole('status').filter({ hasText: 'revision 1' }).waitFor(PATIENCE)
  const { adminPort, port } = banyan
  await banyan.stop()
  await page.getByRole('status').filter({ hasText: 'not live' }).waitFor(PATIENCE)
  const again = await startBanyan({
    table: tableWith(ROUTES.replace('percent: 10', 'percent: 20')),
    args: ['--admin', `127.0.0.1:${adminPort}`, '--listen', `127.0.0.1:${port}`],
  })
  onTestFinished(async () => void (await again.stop()))
  await page.getByText('20 %').waitFor(PATIENCE)
})

const LONG = `a-route-${'whose-id-is-long-'.repeat(5)}`.slice(0, 63).replace(/-$/, '')
const VIEWS = [
  '/',
  `/routes/${LONG}`,
  '/routes/lookup',
  '/routes/list',
  '/progress',
  '/servers',
  '/revisions',
  '/endpoints',
  '/cache',
  '/instances',
]

test('axe finds nothing in any view, and nothing is wider than the screen: light, dark, and on a telephone', async () => {
  const path = '/api/v1/customers/:customerId/addresses/:addressId/validation-results'
  const banyan = await started(`${ROUTES}  - { id: ${LONG}, match: { path: ${path} }, to: new }\n`)
  await asks(banyan, '/lookup/1', 10)
  await asks(banyan, '/elsewhere', 3)
  // Its own style sheets are what the policy of the page is there to refuse.
  const page = await opened(banyan, '/', { bypassCSP: true })
  await page.evaluate(AXE)
  /** @param rules those that can find something; all of them where it is left out */
  const isFaultless = async (place: string, rules?: readonly string[]): Promise<void> => {
    const options = { resultTypes: ['violations'], ...(rules && { runOnly: rules }) }
    const { violations } = (await page.evaluate(`axe.run(${JSON.stringify(options)})`)) as {
      violations: { id: string; nodes: { html: string }[] }[]
    }
    expect(violations.map(({ id, nodes }) => [place, id, nodes[0]?.html])).toEqual([])
    const excess = 'document.documentElement.scrollWidth - innerWidth'
    expect([place, await page.evaluate(excess)]).toEqual([place, 0])
  }
  for (const place of VIEWS) {
    await goes(page, place)
    if (place === '/routes/lookup') {
      await page.getByRole('button', { name: 'Explain' }).click()
      await page.getByText('Because').waitFor(PATIENCE)
    }
    await page.emulateMedia({ colorScheme: 'light' })
    await isFaultless(place)
    // The same elements: what can differ is their colours.
    await page.emulateMedia({ colorScheme: 'dark' })
    await isFaultless(place, ['color-contrast', 'link-in-text-block'])
    await page.setViewportSize(TELEPHONE)
    await isFaultless(place)
    await page.setViewportSize(SCREEN)
  }
})

test('by keyboard: to a route, to its dialog, and out again', async () => {
  const banyan = await started()
  const page = await opened(banyan)
  await page.getByRole('link', { name: 'lookup' }).focus(PATIENCE)
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'lookup' }).waitFor(PATIENCE)
  await page.getByRole('button', { name: '5 %', exact: true }).focus(PATIENCE)
  await page.keyboard.press('Enter')
  const reason = page.getByLabel('Reason')
  await reason.waitFor(PATIENCE)
  await expect.poll(() => reason.evaluate((element) => element === element.ownerDocument.activeElement)).toBe(true)
  await page.keyboard.press('Escape')
  await reason.waitFor({ ...PATIENCE, state: 'detached' })
  const step = page.getByRole('button', { name: '5 %', exact: true })
  const hasFocus = () => step.evaluate((element) => element === element.ownerDocument.activeElement)
  await expect.poll(hasFocus).toBe(true)
  await page.keyboard.press('Enter')
  await reason.waitFor(PATIENCE)
  await page.keyboard.type('by keyboard')
  await expect.poll(() => page.locator('dialog button.primary').isEnabled()).toBe(true)
  await page.keyboard.press('Enter')
  await reason.waitFor({ ...PATIENCE, state: 'detached' })
  await expect.poll(() => step.getAttribute('aria-pressed')).toBe('true')
  expect(await hasFocus()).toBe(true)
})
