/**
 * Compares our request reader with node's server (llhttp): same bytes, same verdict, or a difference that is named here.
 */
import { METHODS } from 'node:http'
import { readAbsolute } from '../../src/rules/patterns/target.ts'
import { type NodeSeen, type NodeServer, startNodeServer } from './node-server.ts'
import { readRequests, type SeenRequest, type SeenRequests } from './request-reader.ts'
import { type RequestSample, requestPieces, requestSample } from './request-samples.ts'

/** Conversations at the same time. */
const BATCH = 100

/** Differences without a name after which the comparison ends. */
const MOST_TOLD = 10

/** Who reads on, or no further, without a complaint. */
const NO_COMPLAINT = 'nothing'

/** A verdict that differs on purpose: how the one who refuses complains, and why that is right for a proxy. */
interface Difference<Only> {
  readonly complaint: RegExp
  /** What else must be so. */
  readonly only: Only
  readonly why: string
}

/** What we refuse and node takes. */
export const STRICTER: readonly Difference<((text: string) => boolean) | null>[] = [
  {
    complaint: /^HTTP\/(?:0\.9|2\.0)$/,
    only: null,
    why: 'a version that is not ours; node leaves it to the application',
  },
  {
    complaint: /^control character in the request line$|^a request line without a target$/,
    only: (text) => /^[^ \r\n]+ +[^ \r\n]+\n|^CONNECT +\r?\n/m.test(text),
    why: 'an HTTP/0.9 request that ends in a bare LF; one of CONNECT, for which node wants no target',
  },
  {
    complaint: /^Transfer-Encoding in HTTP\/1\.0$/,
    only: null,
    why: 'RFC 9112 section 6.1: such framing is faulty; what knows HTTP/1.0 only would not read chunks',
  },
  {
    complaint: /^a transfer coding other than chunked$/,
    only: null,
    why: 'RFC 9112 section 6.1: we decode nothing, and node leaves it to the application',
  },
  {
    complaint: /^invalid Content-Length$|^chunk size too large$/,
    only: (text) => /content-length:[ \t]*[0-9]{16}|[0-9a-f]{14}/i.test(text),
    why: 'a length that a double does not count exactly',
  },
  {
    complaint: /^invalid chunk extension$/,
    only: (text) => /;[=;]|=[;\r]|[!-~]"/.test(text),
    why: 'RFC 9112 section 7.1.1: a name, and a value where there is a "=", have a character at least; quotes begin a value',
  },
  {
    complaint: /^bare (?:CR|LF) before the request line$/,
    only: null,
    why: 'RFC 9112 section 2.2 lets a server skip empty lines, which end in CRLF',
  },
  {
    complaint: /^a tab after a transfer coding$/,
    only: (text) => /transfer-encoding:.*\t\r/i.test(text),
    why: 'node refuses it too, but has told of the head before',
  },
  {
    complaint: /^nothing$/,
    only: (text) => /^connection:.*close/im.test(text) && /HTTP\/1\.0\r\n/.test(text),
    why: 'RFC 9112 section 9.3: close ends the connection, whatever another Connection line says; to node, not in HTTP/1.0',
  },
]

/** What we take and node refuses. */
export const LAXER: readonly Difference<(text: string, request: SeenRequest) => boolean>[] = [
  {
    complaint: /^HPE_INVALID_METHOD/,
    only: (_, { method }) => !METHODS.includes(method),
    why: 'any token is a method (RFC 9110 section 9.1)',
  },
  {
    complaint: /^HPE_INVALID_URL/,
    only: (_, { target }) => /[\x80-\xff]/.test(target),
    why: 'browsers and curl send such bytes, and what old applications make of them is theirs',
  },
  {
    complaint: /^HPE_INVALID_URL/,
    only: (_, { target, method }) => !isTaken(target, method),
    why: 'the engine refuses a target that has none of the forms of RFC 9112 section 3.2',
  },
  {
    complaint: /^HPE_CLOSED_CONNECTION/,
    only: (text) => /proxy-connection|\r\n0+[^\r\n]*\r\n(?:[^\r\n]+\r\n)*connection:/i.test(text),
    why: 'Proxy-Connection (RFC 9112 appendix C.2.2) and Connection among the trailers (RFC 9110 section 6.5.1) mean nothing; node takes both for Connection. No framing depends on them',
  },
  {
    complaint: /^nothing$/,
    only: (text) => /HTTP\/1\.0\r\n/.test(text) && /^upgrade:/im.test(text),
    why: 'RFC 9110 section 7.8: Upgrade is ignored in HTTP/1.0; to node the next request is the other protocol',
  },
]

/** Whether the engine takes a target, whatever Host says. */
function isTaken(target: string, method: string): boolean {
  return target.startsWith('/') || (target === '*' && method === 'OPTIONS') || readAbsolute(target, method) !== null
}

/** What the comparison has seen. */
export interface Tally {
  conversations: number
  /** Requests that both have read, to their ends, alike. */
  agreed: number
  /** Conversations that both have refused. */
  refused: number
  /** Conversations with a named difference. */
  stricter: number
  laxer: number
}

/**
 * Compares conversations of the samples `seed` to `seed + runs - 1`.
 * @throws {Error} some differences have no name: the first of them
 */
export async function compareWithNode(seed: number, runs: number): Promise<Tally> {
  const tally: Tally = { conversations: 0, agreed: 0, refused: 0, stricter: 0, laxer: 0 }
  const unnamed: string[] = []
  const server = await startNodeServer()
  try {
    for (let at = 0; at < runs && unnamed.length < MOST_TOLD; at += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, runs - at) }, (_, i) => seed + at + i)
      await Promise.all(
        batch.map(async (one) => {
          const problem = await compare(server, requestSample(one), tally)
          if (problem !== null) unnamed.push(`sample ${one}: ${problem}`)
        }),
      )
    }
  } finally {
    await server.close()
  }
  if (unnamed.length > 0) throw new Error(`after ${tally.conversations} conversations:\n${unnamed.join('\n')}`)
  return tally
}

/** @returns what differs in a way that has no name, or null */
export async function compare(server: NodeServer, sample: RequestSample, tally: Tally): Promise<string | null> {
  tally.conversations++
  const { text } = sample
  const ours = readRequests(requestPieces(sample))
  const theirs = await server.read(text)
  const problem = difference(text, ours, theirs)
  if (problem === null) {
    if (ours.fault !== null) tally.refused++
    tally.agreed += ours.requests.filter(({ complete }) => complete).length
    return null
  }
  const said = `${problem}\n${JSON.stringify(text)}`
  if (problem.startsWith('stricter: ')) {
    if (!STRICTER.some((one) => one.complaint.test(ours.problem ?? NO_COMPLAINT) && (one.only?.(text) ?? true)))
      return said
    tally.stricter++
    return null
  }
  const beyond = ours.requests[theirs.requests.length]
  if (!problem.startsWith('laxer: ') || beyond === undefined) return said
  if (!LAXER.some((one) => one.complaint.test(theirs.problem ?? NO_COMPLAINT) && one.only(text, beyond))) return said
  tally.laxer++
  // With a method and targets that node takes, it must read the rest as we do.
  const plain = plainText(text, ours)
  return plain === text ? null : await compare(server, { text: plain, splits: [] }, tally)
}

function difference(text: string, ours: SeenRequests, theirs: NodeSeen): string | null {
  for (const [i, mine] of ours.requests.entries()) {
    const nodes = theirs.requests[i]
    if (nodes === undefined) return `laxer: ${theirs.problem}`
    for (const part of ['method', 'target', 'minor', 'rawHeaders'] as const) {
      const [a, b] = [JSON.stringify(mine[part]), JSON.stringify(nodes[part])]
      if (a !== b) return `${part}: ${a} here, ${b} at node's`
    }
    // A tunnel to node, without a body; banyan refuses it.
    if (mine.method === 'CONNECT') return null
    if (!mine.complete && nodes.complete) return `stricter: ${ours.problem}`
    if (mine.complete && !nodes.complete) return `body taken here, not at node's: ${theirs.problem}`
    const isAlike = mine.complete
      ? mine.body === nodes.body
      : mine.body.startsWith(nodes.body) || nodes.body.startsWith(mine.body)
    if (!isAlike) return `body: ${JSON.stringify(mine.body)} here, ${JSON.stringify(nodes.body)} at node's`
    const [a, b] = [JSON.stringify(mine.trailers), JSON.stringify(nodes.trailers)]
    if (mine.complete && a !== b) return `trailers: ${a} here, ${b} at node's`
  }
  if (ours.requests.length < theirs.requests.length) return `stricter: ${ours.problem}`
  const hasEnded = ours.requests.at(-1)?.complete === true
  if (theirs.rest !== null && hasEnded && theirs.rest !== text.slice(ours.taken)) return 'bytes behind an upgrade'
  return null
}

/** The same with methods and targets that node takes. */
function plainText(text: string, { requests }: SeenRequests): string {
  let plain = ''
  let done = 0
  for (const { method, target, from } of requests) {
    const start = from + (/^[\r\n]*/.exec(text.slice(from)) as RegExpExecArray)[0].length
    const spaces = (/^ +/.exec(text.slice(start + method.length)) as RegExpExecArray)[0]
    const isPlain = isTaken(target, method) && !/[\x80-\xff]/.test(target)
    plain += `${text.slice(done, start)}${METHODS.includes(method) ? method : 'GET'}${spaces}${isPlain ? target : '/'}`
    done = start + method.length + spaces.length + target.length
  }
  return plain + text.slice(done)
}
