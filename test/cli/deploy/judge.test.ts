/**
 * What `banyan deploy canary` judges a route by: the attempts at its two sides, seen from look to look; and not what else goes on
 * at the same upstreams.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { banyan } from '../rig.ts'

interface Side {
  readonly attempts: number
  readonly failed: number
}

/** What the proxy has counted so far, at the start and at each look; the last one goes on. */
interface Figures {
  readonly sides: { readonly gtin?: Side; readonly legacy?: Side }
  /** Of all that the upstreams do: exchanges and failures. */
  readonly gtin?: readonly [number, number]
  readonly legacy?: readonly [number, number]
}

/** A proxy with one route, whose figures are these, one after the other, each time that the judge waits. */
async function canaryOver(looks: readonly Figures[]) {
  let [percent, look, nowMs] = [0, 0, 0]
  const percents: number[] = []
  const figures = (): Figures => looks[Math.min(look, looks.length - 1)] as Figures
  const servers = (id: string, [exchanges, failures]: readonly [number, number] = [0, 0]): object => {
    const live = { id, state: 'up', exchanges, failures, ejections: 0, health: null }
    return { servers: [{ id, url: '', weight: 1, drained: false, lease: null, active: 0, live: [live] }] }
  }
  const server = createServer(async (req, res) => {
    if (req.method === 'PATCH') {
      percent = ((await json(req)) as { percent: number }).percent
      percents.push(percent)
    }
    const { sides, gtin, legacy } = figures()
    const answers: Record<string, object> = {
      '/routes': { default: 'legacy' },
      '/routes/lookup': { id: 'lookup', to: 'gtin', percent, live: { sides } },
      '/upstreams/gtin/servers': servers('gtin-1', gtin),
      '/upstreams/legacy/servers': servers('legacy-1', legacy),
    }
    res.setHeader('Content-Type', 'application/json')
    res.setHeader('Banyan-Request-Id', 'of the judge')
    res.end(JSON.stringify(answers[req.url as string]))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => void server.close())
  const admin = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const flags = ['--steps', '50', '--hold', '2s', '--ready', '2s', '--min-requests', '100', '--admin', admin]
  const ended = await banyan(['deploy', 'canary', 'lookup', ...flags], {
    now: () => nowMs,
    sleep: async () => {
      nowMs += 200
      look++
    },
    timeoutMs: 60_000,
  })
  return { ...ended, percents }
}

test('a bad side is taken back, whatever else fails at the other upstream', async () => {
  const ended = await canaryOver([
    { sides: {}, gtin: [0, 0], legacy: [1000, 400] },
    {
      sides: { gtin: { attempts: 500, failed: 100 }, legacy: { attempts: 500, failed: 0 } },
      gtin: [500, 100],
      legacy: [9000, 3600],
    },
  ])
  expect(ended.out).toContain('failed: 100 of 500 requests failed at gtin\n')
  expect(ended).toMatchObject({ code: 6, percents: [50, 0] })
})

test('a good side stays, whatever other routes do to its upstream', async () => {
  const ended = await canaryOver([
    { sides: {}, gtin: [0, 0] },
    { sides: { gtin: { attempts: 500, failed: 0 }, legacy: { attempts: 500, failed: 0 } }, gtin: [900, 400] },
  ])
  expect(ended).toMatchObject({ code: 0, percents: [50] })
})

test('a proxy that begins anew in between hides no failure', async () => {
  const ended = await canaryOver([
    { sides: { gtin: { attempts: 4000, failed: 0 }, legacy: { attempts: 4000, failed: 0 } } },
    { sides: { gtin: { attempts: 4400, failed: 0 }, legacy: { attempts: 4400, failed: 0 } } },
    // Restarted.
    { sides: { gtin: { attempts: 300, failed: 60 }, legacy: { attempts: 300, failed: 0 } } },
  ])
  expect(ended.out).toContain('failed: 60 of 700 requests failed at gtin\n')
  expect(ended).toMatchObject({ code: 6, percents: [50, 0] })
})
