/^(.*)@sales\.example\.org$/ $1@example.com
if /x/
/y/ z
endif
