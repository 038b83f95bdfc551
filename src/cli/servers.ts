/**
 * `banyan servers`: the upstreams, their servers, and what is happening at each.
 */
import { ADMIN_FLAG, type Command, type Given, JSON_FLAG } from './command.ts'
import { columns, EXIT, type ExitCode, type Io, jsonText } from './io.ts'
import { said } from './routes.ts'

export const servers: Command = {
  name: 'servers',
  usage: '[UPSTREAM]',
  summary: 'the upstreams and their servers, with what is happening at each',
  about: 'RATE and ERRORS are those of the whole upstream in the last minute.',
  examples: ['banyan servers', 'banyan servers gtin --json'],
  flags: { ...ADMIN_FLAG, ...JSON_FLAG },
  counts: [0, 1],
  run: runServers,
}

interface UpstreamAnswer {
  readonly name: string
  readonly live: {
    readonly lastMinute: { readonly perSecond: number; readonly errorRatio: number | null } | null
    readonly servers: readonly {
      readonly id: string
      readonly url: string
      readonly weight: number
      readonly state: string
      readonly connections: { readonly open: number; readonly active: number; readonly idle: number }
    }[]
  }
}

async function runServers(given: Given, io: Io): Promise<ExitCode> {
  const [name] = given.args
  const path = name === undefined ? '/upstreams' : `/upstreams/${encodeURIComponent(name)}`
  const { json } = await given.client(io).ask('GET', path)
  if (given.has('json')) {
    io.out(jsonText(json))
    return EXIT.done
  }
  const list: UpstreamAnswer[] = name === undefined ? json.upstreams : [json]
  const rows = list.flatMap(({ name: upstream, live }) =>
    live.servers.map(({ id, url, weight, state, connections }, at) => [
      at === 0 ? upstream : '',
      id,
      url,
      String(weight),
      state,
      `${connections.active} of ${connections.open}`,
      at === 0 ? said(live.lastMinute?.perSecond, (value) => `${value}/s`) : '',
      at === 0 ? said(live.lastMinute?.errorRatio, (value) => `${Math.round(value * 10_000) / 100} %`) : '',
    ]),
  )
  io.out(columns(['UPSTREAM', 'SERVER', 'URL', 'WEIGHT', 'STATE', 'BUSY', 'RATE', 'ERRORS'], rows, io.colours.out))
  return EXIT.done
}
