{{/* Names, labels and the parts that several objects share. */}}

{{- define "wanneng.fullname" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "wanneng.selector" -}}
app.kubernetes.io/name: wanneng
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
wanneng.io/pool: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "wanneng.labels" -}}
{{ include "wanneng.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end -}}

{{- define "wanneng.image" -}}
{{- $image := index .root.Values.images .image -}}
{{ $image.repository }}:{{ default .root.Chart.AppVersion $image.tag }}
{{- end -}}

{{/* What every pod starts with. The API server is nobody's business here, so no token. */}}
{{- define "wanneng.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "wanneng.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "wanneng.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Nodes first, then zones; a pod that cannot be spread runs all the same. */}}
{{- define "wanneng.spread" -}}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "wanneng.selector" $ | nindent 6 }}
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end -}}

{{/*
Every pool with its defaults, the facts of its config, and its engine, as YAML: {pools: {name: {...}}}.
An engine is known by what decides it: its source, its kind, the image that builds it, and a plan's architecture.
*/}}
{{- define "wanneng.pools" -}}
{{- $configs := .Files.Get "files/configs.yaml" | fromYaml -}}
{{- $pools := dict -}}
{{- range $name, $given := .Values.pools -}}
{{- $pool := mustMergeOverwrite (deepCopy $.Values.poolDefaults) (deepCopy (default dict $given)) -}}
{{- /* An unknown config is refused in checks.yaml, which needs the rest to be rendered. */ -}}
{{- $facts := get $configs $pool.config | default (dict "image" "tritonCpu" "precisions" list "buckets" list "unknown" true) -}}
{{- $kind := list $.Values.model.source $facts.target $.Values.model.precision $facts.front -}}
{{- if eq (toString $facts.target) "tensorrt" -}}
{{- $kind = append $kind $pool.computeCapability -}}
{{- end -}}
{{- $kind = append $kind (include "wanneng.image" (dict "root" $ "image" $facts.image)) -}}
{{- $_ := set $pool "facts" $facts -}}
{{- $_ := set $pool "engine" (ternary "" (join " " $kind | sha256sum | trunc 12) (empty $.Values.model.source)) -}}
{{- $_ := set $pools $name $pool -}}
{{- end -}}
{{- dict "pools" $pools | toYaml -}}
{{- end -}}

{{- define "wanneng.engineFolder" -}}
{{- if . -}}/engines/built/{{ . }}{{- else -}}/opt/wanneng/embedded{{- end -}}
{{- end -}}

{{/* Name and entry of a Secret: the user's own (`given`) if it has a name, the chart's (`name`, `key`) otherwise. */}}
{{- define "wanneng.secretKeyRef" -}}
name: {{ .given.name | default .name }}
key: {{ ternary .given.key .key (not (empty .given.name)) }}
{{- end -}}

{{- define "wanneng.databaseEnv" -}}
- name: WANNENG_DATABASE_URL
  valueFrom:
    secretKeyRef: {{- include "wanneng.secretKeyRef" (dict "given" .root.Values.database.existingSecret "name" .secret "key" "url") | nindent 6 }}
{{- end -}}

{{/* The operator's key. */}}
{{- define "wanneng.adminKeyRef" -}}
{{- include "wanneng.secretKeyRef" (dict "given" .Values.database.adminKeySecret "name" (printf "%s-admin" (include "wanneng.fullname" .)) "key" "admin-key") -}}
{{- end -}}

{{- define "wanneng.hasDatabase" -}}
{{- if or .Values.database.url .Values.database.existingSecret.name }}true{{ end -}}
{{- end -}}

{{- define "wanneng.hasRedis" -}}
{{- if or .Values.redis.url .Values.redis.existingSecret.name }}true{{ end -}}
{{- end -}}

{{/* Settings that gateway and worker share. */}}
{{- define "wanneng.gatewayEnv" -}}
{{- $full := include "wanneng.fullname" . -}}
{{- $pools := (include "wanneng.pools" . | fromYaml).pools -}}
{{- $urls := list -}}
{{- $buckets := list -}}
{{- range $name, $pool := $pools -}}
{{- $urls = append $urls (printf "dns+http://%s-triton-%s:8000#pool=%s&weight=%v" $full $name $name $pool.weight) -}}
{{- $buckets = $pool.facts.buckets -}}
{{- end -}}
- name: WANNENG_TRITON_URL
  value: {{ join "," $urls | quote }}
{{- if $buckets }}
- name: WANNENG_BUCKETS
  value: {{ join "," $buckets | quote }}
{{- end }}
{{- if include "wanneng.hasDatabase" . }}
{{ include "wanneng.databaseEnv" (dict "root" . "secret" (printf "%s-database" $full)) }}
{{- end }}
{{- if include "wanneng.hasRedis" . }}
- name: WANNENG_REDIS_URL
  valueFrom:
    secretKeyRef: {{- include "wanneng.secretKeyRef" (dict "given" .Values.redis.existingSecret "name" (printf "%s-redis" $full) "key" "url") | nindent 6 }}
{{- end }}
{{- range $name, $value := .Values.gateway.settings }}
- name: {{ $name }}
  {{- /* Numbers come as floats, which Go writes as 6.4e+07. */}}
  value: {{ ternary (printf "%.0f" (float64 $value)) (toString $value) (and (kindIs "float64" $value) (eq (toString (floor $value)) (toString $value))) | quote }}
{{- end }}
{{- end -}}

{{- define "wanneng.tenantsSecret" -}}
{{- .Values.existingTenantsSecret | default (printf "%s-tenants" (include "wanneng.fullname" .)) -}}
{{- end -}}

{{/* Names are asked of the cluster's DNS, pairs of Triton, and the rest is what `networkPolicies.egress` names. */}}
{{- define "wanneng.egress" -}}
- to:
    - namespaceSelector: {}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
- to:
    - podSelector:
        matchLabels: {{- include "wanneng.selector" (dict "root" . "component" "triton") | nindent 10 }}
  ports: [{port: 8000}]
{{- with .Values.networkPolicies.egress }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Up at once, down slowly: a pod that was sent away takes long to come back. */}}
{{- define "wanneng.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  policies: [{type: Percent, value: 100, periodSeconds: 30}, {type: Pods, value: 2, periodSeconds: 30}]
scaleDown:
  stabilizationWindowSeconds: {{ .scaleDownSeconds }}
  policies: [{type: Pods, value: 1, periodSeconds: {{ max 1 (min 1800 (int .scaleDownSeconds)) }}}]
{{- end -}}

{{/* A container's resources, with `count` of the pool's GPUs among requests and limits. */}}
{{- define "wanneng.withGpus" -}}
{{- $resources := deepCopy .resources -}}
{{- $gpus := dict .pool.gpuResource .count -}}
{{- range list "requests" "limits" -}}
{{- $_ := set $resources . (mergeOverwrite (deepCopy (default dict (get $resources .))) $gpus) -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
