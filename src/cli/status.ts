/**
 * `banyan status`: the instances, the revision of each, and what is under way.
 */

import type { StatusAnswer } from '../answers/status.ts'
import { tableDiffText } from './apply.ts'
import { columns } from './columns.ts'
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from './command.ts'
import { EXIT, type ExitCode, type Io, jsonText, printable } from './io.ts'

export const status: Command = {
  name: 'status',
  usage: '',
  summary: 'show the instances, the revision of each, and what is under way',
  about: `With --cluster all instances are listed. STATE is in-step, behind (it is applying the newest revision), not-following (WHY says why)
or silent (nothing was heard of it for 5 seconds). * is the instance that has answered.`,
  examples: ['banyan status', 'banyan status --json'],
  flags: { ...ADMIN_FLAG, ...JSON_FLAG },
  counts: [0, 0],
  run: runStatus,
}

async function runStatus(given: Given, io: Io): Promise<ExitCode> {
  const { json } = await given.client(io).ask('GET', '/status')
  io.out(given.has('json') ? jsonText(json) : statusText(json, io))
  return EXIT.done
}

function clusterLines({
  name,
  revision,
  epoch,
  problem,
  unreadable = 0,
}: NonNullable<StatusAnswer['cluster']>): string[] {
  const isOutside = epoch === 0 && problem !== null
  const where = isOutside ? ', not joined: this instance has a table of its own' : `, newest revision ${revision}`
  const who = unreadable === 1 ? '1 instance of that name tells' : `${unreadable} instances of that name tell`
  const other = `problem: ${who} what can't be read here: another --cluster-secret, or another release`
  return [`cluster ${name}${where}`, ...(unreadable === 0 ? [] : [other])]
}

function statusText(said: StatusAnswer, io: Io): string {
  const { ready, reasons, revision, madeAt, appliedAt, author, reason, cluster, instances, ramps, drained = [] } = said
  const by = author === null ? '' : ` by ${author}${reason === null ? '' : `: ${reason}`}`
  const lines = [`revision ${revision}, ${madeAt ?? appliedAt}${by}`]
  if (cluster !== null) lines.push(...clusterLines(cluster))
  const { file, drift = null, changes = [] } = cluster?.followed ?? {}
  if (file !== undefined) lines.push(`follows ${file}${drift === null ? '' : `, which is not live: ${drift}`}`)
  if (drift === 'differs')
    lines.push(`banyan diff ${file} shows the difference; banyan apply ${file} makes the file the table`)
  if (drift !== null && changes.length > 0) lines.push('the file would change', tableDiffText(changes).trimEnd())
  if (!ready) lines.push('not ready')
  for (const one of reasons) lines.push(`problem: ${one}`)
  for (const { route, status: word, percent, why } of ramps)
    lines.push(`ramp of ${route}: ${word} at ${percent} % (${why})`)
  for (const { upstream, server } of drained) lines.push(`drained: ${upstream}/${server}`)
  const rows = instances.map((one) => [
    `${one.host}:${one.pid}${one.self ? ' *' : ''}`,
    one.admin ?? '-',
    one.version,
    String(one.workers),
    one.state === 'silent' ? `silent for ${one.seenSeconds} s` : one.state,
    String(one.revision),
    one.behind === null ? '-' : String(one.behind),
    one.problem ?? (one.drift ? `its table file is not live: ${one.drift}` : ''),
  ])
  const header = ['INSTANCE', 'ADMIN', 'VERSION', 'WORKERS', 'STATE', 'REVISION', 'BEHIND', 'WHY']
  return `${lines.map(printable).join('\n')}\n\n${columns(
    header,
    rows.map((row) => row.map(printable)),
    io.colours.out,
  )}`
}
