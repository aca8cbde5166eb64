echo '{"ready":true}'
while read -r request; do
  id=${request#*\"id\":}
  echo "{\"id\":${id%%,*},\"answer\":\"it is $(date +%H:%M)\"}"
done
