/**
 * nginx as a proxy: proxy_pass with keep-alive, one worker.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nginxFrame, startNginx } from '../harness/nginx.ts'
import type { Contestant } from './contestant.ts'

export const nginx: Contestant = {
  name: 'nginx',
  about: "Debian's nginx, one worker, proxy_pass with keep-alive upstream connections, bodies streamed",
  upgrades: true,
  fromPeers: false,
  async start({ stage, port, upstreamPort, accessLog }) {
    const folder = stage.newFolder('nginx')
    const config = nginxFrame(
      folder,
      `
      access_log ${accessLog ?? 'off'};
      upstream behind {
        server 127.0.0.1:${upstreamPort};
        keepalive 256;
        keepalive_requests 1000000000;
      }
      server {
        listen 127.0.0.1:${port};
        client_max_body_size 0;
        proxy_http_version 1.1;
        # Bodies go on as they come and never to disk, as in every other contestant.
        proxy_request_buffering off;
        proxy_max_temp_file_size 0;
        location / {
          proxy_set_header Connection "";
          proxy_pass http://behind;
        }
        location = /echo {
          proxy_set_header Upgrade $http_upgrade;
          proxy_set_header Connection upgrade;
          proxy_read_timeout 1h;
          proxy_pass http://behind;
        }
      }`,
    )
    const file = join(folder, 'nginx.conf')
    writeFileSync(file, config)
    return await startNginx(stage, 'nginx', 'proxy', { folder, file, port })
  },
}
