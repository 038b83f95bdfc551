/**
 * Our response reader against node's own HTTP client: same bytes, same verdict, or a difference that is named here.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type NodeSeen, readWithNode } from './node-reader.ts'
import { readPieces, type Seen } from './reader.ts'
import { piecesOf, type ResponseSample, responseSample } from './responses.ts'

/** Runs of the comparison. `BANYAN_FUZZ_RUNS` and `BANYAN_FUZZ_SEED` set others. */
const RUNS = Number(process.env.BANYAN_FUZZ_RUNS ?? 10_000)
const SEED = process.env.BANYAN_FUZZ_SEED

/** A verdict that differs on purpose: who accepts, how the other one complains, and why that is right for a proxy. */
interface Difference {
  readonly accepts: 'node' | 'banyan'
  readonly complaint: RegExp
  /** What else must be so, or null. */
  readonly only: ((sample: ResponseSample, ours: Seen) => boolean) | null
  readonly why: string
}

const DIFFERENCES: readonly Difference[] = [
  {
    accepts: 'node',
    complaint: /^Transfer-Encoding in HTTP\/1\.0$/,
    only: null,
    why: 'RFC 9112 section 6.1: such framing is faulty; a server that knows HTTP/1.0 only does not chunk',
  },
  {
    accepts: 'node',
    complaint: /^several Transfer-Encoding fields$/,
    only: null,
    why: 'chunked twice is forbidden (RFC 9112 section 6.1), and readers differ on which line counts',
  },
  {
    accepts: 'node',
    complaint: /^a transfer coding other than chunked$/,
    only: null,
    why: 'we decode nothing, and a coding that is dropped as hop-by-hop would leave the client with undecodable bytes',
  },
  {
    accepts: 'node',
    complaint: /^not an HTTP\/1 response$/,
    only: ({ text }) => /^[\r\n]/.test(text) || /\n\r?\n[\r\n]+HTTP\//.test(text),
    why: 'RFC 9112 section 2.2 lets servers skip empty lines before a request, not clients before an answer: what the line is a rest of is not known',
  },
  {
    accepts: 'node',
    complaint: /^1[0-9]{2} with a body$/,
    only: null,
    why: 'RFC 9112 section 6.1 forbids framing there; readers differ on whether a body follows',
  },
  {
    accepts: 'node',
    complaint: /^101 without an upgrade request$/,
    only: ({ upgradeAsked }) => !upgradeAsked,
    why: "RFC 9110 section 7.8; node leaves this check to whoever listens to 'upgrade'",
  },
  {
    accepts: 'node',
    complaint: /^control character in the reason phrase$/,
    only: null,
    why: 'RFC 9112 section 4: it would go on to the client',
  },
  {
    accepts: 'banyan',
    complaint: /^HPE_CLOSED_CONNECTION/,
    only: (_, ours) => /after the end of the response$/.test(ours.problem ?? ''),
    why: 'the answer is complete and the connection poisoned: the same bytes reach the client, and none of what is beyond',
  },
  {
    accepts: 'banyan',
    complaint: /^HPE_CLOSED_CONNECTION/,
    only: ({ text }, ours) => ours.interim.length > 0 && /HTTP\/1\.0 100|connection: close/i.test(text),
    why: 'an interim answer says nothing of how the connection goes on (RFC 9110 section 15.2)',
  },
  {
    accepts: 'banyan',
    complaint: /^HPE_STRICT: Parse Error: Invalid character in chunk extensions/,
    only: null,
    why: 'white space around "=", and an empty name: the extension ends at the same CRLF for both, and goes no further',
  },
  {
    accepts: 'banyan',
    complaint: /^HPE_INVALID_CHUNK_SIZE: Parse Error: Invalid character in chunk size/,
    only: ({ text }) => /[0-9a-f][ \t]+[;\r]/i.test(text),
    why: 'RFC 9112 section 7.1.1 allows white space before the semicolon of an extension; old servers pad sizes with it',
  },
  {
    accepts: 'banyan',
    complaint: /^HPE_(?:CR_EXPECTED|STRICT|LF_EXPECTED|INVALID_HEADER_TOKEN)/,
    only: ({ text }, ours) => ours.repaired && /^HTTP\/1\.[01] [^\r\n]*\n|\n\r?\nHTTP\/1\.[01] [^\r\n]*\n/.test(text),
    why: 'RFC 9112 section 2.2 lets a recipient take LF for the end of a line; all of the head must end so',
  },
]

/** What differs between the two in a way that has no name, or null. */
function unnamed(sample: ResponseSample, ours: Seen, theirs: NodeSeen): string | null {
  const accepted = ours.complete || ours.status === 101
  if (accepted !== theirs.complete) {
    const accepts = accepted ? 'banyan' : 'node'
    const complaint = (accepted ? theirs.problem : ours.problem) ?? 'no complaint'
    const named = DIFFERENCES.some(
      (one) => one.accepts === accepts && one.complaint.test(complaint) && (one.only?.(sample, ours) ?? true),
    )
    return named ? null : `${accepts} accepts it, the other says: ${complaint}`
  }
  if (!accepted) return null
  for (const part of ['status', 'reason', 'rawHeaders', 'body', 'trailers', 'interim'] as const) {
    const [mine, nodes] = [JSON.stringify(ours[part]), JSON.stringify(theirs[part])]
    if (mine !== nodes) return `${part}: ${mine} here, ${nodes} at node's`
  }
  return null
}

function readOurs(sample: ResponseSample): Seen {
  const { method, upgradeAsked } = sample
  return readPieces(piecesOf(sample), { method, upgradeAsked, closes: true })
}

describe('our reader and node read the same', () => {
  test(`in ${RUNS} random responses, valid and mutated, split anywhere`, { timeout: 300_000 + RUNS }, async () => {
    let accepted = 0
    let refused = 0
    await fc.assert(
      fc.asyncProperty(responseSample, async (sample) => {
        const ours = readOurs(sample)
        const theirs = await readWithNode(piecesOf(sample), sample.method, sample.upgradeAsked)
        if (ours.complete) accepted++
        else refused++
        expect(unnamed(sample, ours, theirs)).toBeNull()
      }),
      { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
    )
    // Both kinds must be there in numbers, or the comparison says little.
    expect(Math.min(accepted, refused)).toBeGreaterThan(RUNS / 20)
  })

  test('how the bytes are split changes nothing', { timeout: 300_000 + RUNS }, () => {
    fc.assert(
      fc.property(responseSample, (sample) => {
        const whole = readOurs({ ...sample, splits: [] })
        const split = readOurs(sample)
        expect({ ...split, problem: split.problem !== null }).toEqual({ ...whole, problem: whole.problem !== null })
      }),
      { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
    )
  })

  test('a lenient reader accepts all that a strict one accepts, and reads it alike', {
    timeout: 300_000 + RUNS,
  }, () => {
    fc.assert(
      fc.property(responseSample, (sample) => {
        const strict = readOurs(sample)
        fc.pre(strict.complete)
        const { method, upgradeAsked } = sample
        const lenient = readPieces(piecesOf(sample), { method, upgradeAsked, closes: true, lenient: true })
        // Behind a head that it has mended a lenient reader keeps no connection.
        expect(lenient).toEqual({ ...strict, keepAlive: lenient.keepAlive })
      }),
      { numRuns: RUNS / 4, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
    )
  })

  test('each named difference is real', async () => {
    const examples: [RegExp, string][] = [
      [/in HTTP\/1\.0/, 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
      [/^several/, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
      [/^a transfer/, 'HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok'],
      [/^not an HTTP/, '\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'],
      [/^101/, 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
      [/^control/, 'HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n'],
    ]
    for (const [complaint, text] of examples) {
      const sample: ResponseSample = { text, splits: [], method: 'GET', upgradeAsked: false }
      expect(readOurs(sample).problem).toMatch(complaint)
      expect((await readWithNode(piecesOf(sample), 'GET', false)).complete).toBe(true)
    }
  })
})
